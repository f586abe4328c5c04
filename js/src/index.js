/** The client for roomer servers: rooms over one WebSocket that reconnects automatically.
 *
 *     import { connect } from "roomer";
 *
 *     const lobby = connect("wss://example.org/ws", { codec: "json" }).join("lobby");
 *     lobby.on("chat", ({ text }, from) => console.log(from, text));
 *     lobby.send("chat", { text: "hello" });
 *
 * @module roomer
 */

import { explainAddresses } from "./address.js";
import { connect as connectWith } from "./client.js";
import { check } from "./error.js";
import { directs } from "./directs.js";
import { extendRooms } from "./feature.js";
import { history } from "./history.js";
import { ROOT } from "./limits.js";
import { explainOptions, namedCodecs, readSettings } from "./options.js";
import { ownInfo } from "./own-info.js";
import { receipts } from "./receipts.js";
import { rejections } from "./rejections.js";
import { renewal } from "./renewal.js";
import { requests } from "./requests.js";
import { toProtocol } from "./subprotocol.js";
import { sessions } from "./session.js";
import { streams } from "./stream.js";
import { tracing } from "./tracing.js";

export { RoomerError } from "./error.js";

/** The feature that keeps `client.root` current: after a kick, the next join creates another room. */
const currentRoot = (core) => {
    let root;
    extendRooms(core, ({ name, api }) => {
        root = name === ROOT ? api : root;
    });
    Object.defineProperty(core.client, "root", { get: () => root, set() {}, enumerable: true });
};

const features = [currentRoot, namedCodecs, explainAddresses, sessions, streams, receipts, requests, history, ownInfo, rejections, renewal, directs, tracing, explainOptions];

/** Connects with all features. See core.js for a smaller client. */
export function connect(url, settings) {
    const { tokenIn = "address", ...options } = readSettings(settings);
    const isProtocol = tokenIn === "protocol";
    // A misspelled name must not put the token into the address, and thereby into logs.
    check(isProtocol || tokenIn === "address", `tokenIn: "address" or "protocol", not "${tokenIn}"`);
    return connectWith(url, { features, tokenIn: isProtocol ? toProtocol : undefined, ...options });
}
