/**
 * The address of an attempt. Works on text where it can: the URL of React Native does not have setters.
 *
 * @module address
 */

/** Returns true if only a page can complete the address. */
export const isRelative = (url) => typeof url === "string" && /^(?!\w+:)./.test(url);

/** Adds a parameter to an address. */
export const addQuery = (address, part) => address + (address.includes("?") ? "&" : "?") + part;

/**
 * Returns the address to connect to: relative ones belong to the page, http becomes ws, and the token is added to the query.
 * Throws TypeError if there is none.
 */
export function toAddress(url, token) {
    const whole = isRelative(url) ? new URL(url, globalThis.document?.baseURI ?? location).href : url;
    // Without the fragment, which a WebSocket does not accept.
    const [address] = /^wss?:[^#]*/i.exec(`${whole}`.replace(/^http/i, "ws"));
    new URL(address);
    // The token replaces those in the address.
    return token == null ? address : addQuery(address.replace(/([?&])(token=[^&]*(&|$))+/g, "$1").replace(/[?&]$/, ""), `token=${encodeURIComponent(token)}`);
}
