/**
 * Turns addresses in messages into links. Everything stays text: nothing is read as HTML.
 *
 * @module links
 */

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/giu;

/** Punctuation at the end of an address belongs to the sentence, and so does a bracket that was opened before it. */
function trim(address) {
    let end = address.replace(/[.,:;!?'*…]+$/u, "");
    while (end.endsWith(")") && end.split(")").length > end.split("(").length) {
        end = end.slice(0, -1).replace(/[.,:;!?'*…]+$/u, "");
    }
    return end;
}

function parse(address) {
    const url = URL.canParse?.(address) === false ? null : new URL(address);
    // An address with a user in it looks like that of another host.
    return url && /^https?:$/.test(url.protocol) && !url.username && !url.password ? url : null;
}

/** Creates the nodes of a text: text nodes, and links for the web addresses in it. */
export function withLinks(text) {
    const nodes = [];
    let end = 0;
    for (const match of text.matchAll(ADDRESS)) {
        const address = trim(match[0]);
        let url = null;
        try {
            url = parse(address);
        } catch {
            // The text is not an address after all.
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
