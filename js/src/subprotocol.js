/** Tokens in the handshake's subprotocols, which proxies do not log.
 *
 * @module subprotocol
 */

import { toBytes } from "./packet.js";

/** Returns the subprotocols that carry a token. The server selects "roomer", and reads the token from the other subprotocol. */
export function toProtocol(token) {
    const base64 = btoa(String.fromCharCode(...toBytes(token)));
    return ["roomer", `token.${base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}`];
}
