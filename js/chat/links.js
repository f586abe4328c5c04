/** Turns web addresses in messages into links. The message itself stays text, and is never parsed as HTML.
 *
 * @module links
 */

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/giu;

/** Removes trailing punctuation, and a closing bracket that belongs to an opening one before the address. */
function trim(address) {
    let end = address.replace(/[.,:;!?'*…]+$/u, "");
    while (end.endsWith(")") && end.split(")").length > end.split("(").length) {
        end = end.slice(0, -1).replace(/[.,:;!?'*…]+$/u, "");
    }
    return end;
}

function parse(address) {
    const url = URL.canParse?.(address) === false ? null : new URL(address);
    // Reject addresses with user information, which can imitate another host.
    return url && /^https?:$/.test(url.protocol) && !url.username && !url.password ? url : null;
}

/** Converts a text to DOM nodes: text nodes, and links for the web addresses in it. */
export function withLinks(text) {
    const nodes = [];
    let end = 0;
    for (const match of text.matchAll(ADDRESS)) {
        const address = trim(match[0]);
        let url = null;
        try {
            url = parse(address);
        } catch {
            // The match is not a valid address.
        }
        if (url) {
            const link = document.createElement("a");
            link.href = url.href;
            link.title = url.href;
            link.target = "_blank";
            link.rel = "noopener noreferrer nofollow";
            link.textContent = address;
            nodes.push(text.slice(end, match.index), link);
            end = match.index + address.length;
        }
    }
    nodes.push(text.slice(end));
    return nodes.filter((node) => node !== "");
}
