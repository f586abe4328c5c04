/**
 * The client without its features, for pages that use some of them and count bytes:
 *
 *     import { connect, json, requests, sessions } from "roomer/core";
 *
 *     const client = connect("wss://example.org/ws", { codec: json, features: [sessions, requests] });
 *
 * The core is one object, whose methods the client, the connection and the outbox share. It speaks the plain protocol.
 * A feature is a function that receives the core before the first room is made, and extends it: it adds to
 * `core.client`, wraps methods of the core, or has rooms and packets passed to it (see feature.js). These methods exist to be wrapped,
 * besides being called:
 *
 * | method | called |
 * |---|---|
 * | `createRoom(name, codec, options)` | for a new room; features add to its `api` |
 * | `findCodec(codec)` | with the codec of a room |
 * | `toAddress(url, token)` | for each attempt |
 * | `opened()` | when a socket is open |
 * | `changed(state, error)` | when the state of the connection has changed |
 * | `begin()`, `end(error, state)` | when the rooms have to be joined, and when the server may have forgotten the client |
 * | `hangUp(socket, code)` | with a socket that is no longer used |
 * | `decode(data)`, `handle(packet, data)` | with each message that has arrived; the packet is undefined if it is not a packet |
 * | `deliver(packet, room)` | with a packet that is not an acknowledgement; returns true if it is done |
 * | `transmit(item)` | with each packet to send |
 * | `ask()` | for an answer that confirms all that was sent |
 * | `confirmed(count)`, `settled(items, isLost)`, `lost(item, reason)` | when the fate of what was sent is known |
 *
 * The feature `sessions` asks for the extended protocol: without it the client speaks the plain one. It adds `isKept(time)`, which returns
 * true if the server may keep the session; the flag `isOn`, which is undefined until the server has shown which protocol it speaks; and
 * it emits the event HELLO of the client once that is known, with the payload of `hello`, or false on a plain server.
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
