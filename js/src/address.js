/**
 * The address of an attempt. Works on text where it can: the URL of React Native does not have setters.
 *
 * @module address
 */

import { toBytes } from "./packet.js";

/** Returns true if only a page can complete the address. */
export const isRelative = (url) => typeof url === "string" && /^(?!\w+:)./.test(url);

/**
 * Returns the address to connect to: relative ones belong to the page, http becomes ws, and the token joins the query.
 * Throws TypeError if there is none.
 */
export function toAddress(url, token) {
    const whole = isRelative(url) ? new URL(url, globalThis.document?.baseURI ?? location).href : url;
    // Without the fragment, which a WebSocket does not take.
    const [address] = /^wss?:[^#]*/i.exec(`${whole}`.replace(/^http/i, "ws"));
    new URL(address);
    if (token == null) {
        return address;
    }
    // This token replaces those of the address.
    const others = address.replace(/([?&])(token=[^&]*(&|$))+/g, "$1").replace(/[?&]$/, "");
    return `${others}${others.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}`;
}

/** Returns the subprotocols that carry a token: the server selects "roomer", and reads the token from the other. */
export function toProtocols(token) {
    const base64 = btoa(String.fromCharCode(...toBytes(token)));
    return ["roomer", `token.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}
