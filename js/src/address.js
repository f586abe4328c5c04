/**
 * The address of an attempt. Works on text where it can: the URL of React Native does not have setters.
 *
 * @module address
 */

/** Returns true if only a page can complete the address. */
export const isRelative = (url) => typeof url === "string" && /^(?!\w+:)./.test(url);

/**
 * Returns the address to connect to: relative ones belong to the page, http becomes ws, and the token and the parameters of the
 * protocol are added to the query. Throws TypeError if there is none.
 */
export function toAddress(url, token, query) {
    const whole = isRelative(url) ? new URL(url, globalThis.document?.baseURI ?? location).href : url;
    // Without the fragment, which a WebSocket does not accept.
    let [address] = /^wss?:[^#]*/i.exec(`${whole}`.replace(/^http/i, "ws"));
    new URL(address);
    const add = (part) => {
        address += (address.includes("?") ? "&" : "?") + part;
    };
    if (token != null) {
        // The token replaces those in the address.
        address = address.replace(/([?&])(token=[^&]*(&|$))+/g, "$1").replace(/[?&]$/, "");
        add(`token=${encodeURIComponent(token)}`);
    }
    query && add(query);
    return address;
}
