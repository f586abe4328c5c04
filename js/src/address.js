/**
 * The address of an attempt. By text alone where it can: the URL of React Native has no setters.
 *
 * @module address
 */

import { toBytes } from "./packet.js";

const ABSOLUTE = /^(ws|http)s?:\/\/[^/?#]/i;

/** Tells whether only a page can make an address of it. */
export const isRelative = (url) => typeof url === "string" && url !== "" && !/^[a-z][a-z\d+.-]*:/i.test(url);

/** The address: relative ones are the page's, http is ws, and the token goes into the query. */
export function toAddress(url, token) {
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    let address = isRelative(url) ? new URL(url, base).href : String(url ?? "");
    if (!ABSOLUTE.test(address) || !new URL(address)) {
        throw new TypeError(`no WebSocket at ${address}`);
    }
    address = address.replace(/^http/i, "ws").replace(/#.*/s, "");
    if (token != null) {
        const [place, query = ""] = address.split(/\?(.*)/s);
        const others = query.split("&").filter((each) => each && !each.startsWith("token="));
        address = `${place}?${[...others, `token=${encodeURIComponent(token)}`].join("&")}`;
    }
    return address;
}

/** The subprotocols that carry a token: the server takes "roomer", and reads the token from the other. */
export function toProtocols(token) {
    const base64 = btoa(String.fromCharCode(...toBytes(token)));
    return ["roomer", `token.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}
