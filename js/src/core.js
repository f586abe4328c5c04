/**
 * The client without its features, for pages that use some of them and count bytes:
 *
 *     import { connect, json, requests, sessions } from "roomer/core";
 *
 *     const client = connect("wss://example.org/ws", { codec: json, features: [sessions, requests] });
 *
 * A feature is a function. It receives what the client shares with it, and returns an object with some of these methods:
 *
 * | method | called |
 * |---|---|
 * | `client(client)` | with the client, to add to it |
 * | `room(room)` | with a new room, to add to its `api` |
 * | `packet(packet, room)` | with a packet that is not an acknowledgement; returns true if it is done |
 * | `greeted(hello)` | by `sessions`, when the server has shown which protocol it speaks; without `hello` the plain one |
 * | `closed(room, error)` | when a room is closed for good |
 * | `trace(what, details)` | with each step |
 *
 * The feature `sessions` requests the extended protocol: without it the client speaks the plain one. `session`, which all share,
 * then has only `isOn`, which is false; see session.js.
 *
 * @module core
 */

export { connect } from "./client.js";
export { toProtocol } from "./protocol.js";
export { RoomerError } from "./error.js";
export { bytes, json, text } from "./codec.js";
export { directs } from "./directs.js";
export { history } from "./history.js";
export { ownInfo } from "./own-info.js";
export { receipts } from "./receipts.js";
export { refusals } from "./refusals.js";
export { renewal } from "./renewal.js";
export { requests } from "./requests.js";
export { sessions } from "./session.js";
export { streams } from "./stream.js";
export { tracing } from "./tracing.js";
