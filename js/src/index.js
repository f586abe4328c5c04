/**
 * The client of a roomer server: rooms over one WebSocket that reconnects by itself.
 *
 *     import { connect } from "roomer";
 *
 *     const lobby = connect("wss://example.org/ws", { codec: "json" }).join("lobby");
 *     lobby.on("chat", ({ text }, from) => console.log(from, text));
 *     lobby.send("chat", { text: "hello" });
 *
 * @module roomer
 */

import { connect as connectWith } from "./client.js";
import { history } from "./history.js";
import { ownInfo } from "./own-info.js";
import { refusals } from "./refusals.js";
import { renewal } from "./renewal.js";
import { requests } from "./requests.js";
import { streams } from "./stream.js";

export { RoomerError } from "./error.js";

const features = [streams, requests, history, ownInfo, refusals, renewal];

/** Connects with all features; see core.js for a smaller client. */
export const connect = (url, options) => connectWith(url, { features, ...options });
