/** The client without its features, for pages that need only some of them and a small bundle.
 *
 *     import { connect, json, requests, sessions } from "roomer/core";
 *
 *     const client = connect("wss://example.org/ws", { codec: json, features: [sessions, requests] });
 *
 * Only the `connect` of "roomer" explains options of the wrong type.
 *
 * The core is a single object, whose methods the client, the connection and the outbox share. It uses the plain protocol. A
 * feature is a function that receives the core before the first room is created, and extends it: it adds to `core.client`, wraps
 * methods of the core, or registers for new rooms and packets (see feature.js). The core calls these methods, and features may
 * wrap them:
 *
 * | method | called |
 * |---|---|
 * | `createRoom(name, codec, options)` | for a new room; features add to its `api` |
 * | `findCodec(codec)` | with a room's codec |
 * | `toAddress(url, token)` | by `start()`, to check a fixed address, and for each attempt |
 * | `opened()` | when a socket has opened |
 * | `changed(state, error)` | when the connection's state has changed |
 * | `begin()`, `end(error, state)` | when rooms must be joined, and when the server may have dropped the client's state |
 * | `hangUp(socket, code)` | with an abandoned socket |
 * | `decode(data)`, `handle(packet, data)` | with each received message; the packet is undefined if the data is not a packet |
 * | `deliver(packet, room)` | with each packet that is not an acknowledgement; returns true if it has been handled |
 * | `createItem(event, bytes, room, to, owner)` | for each packet except joins, leaves and probes |
 * | `transmit(item)` | with each packet to send |
 * | `ask()` | to request an answer that confirms all packets sent so far |
 * | `confirmed(count)`, `settled(items, isLost)` | when packets have been handled, or may be lost |
 * | `lost(item, reason, event)` | with a message that may not arrive, and the event that tells the application: `lost` or `overflow` |
 * | `disconnected(isTooFast)` | when the session has ended, or without one the connection |
 *
 * The `sessions` feature requests the extended protocol; without it the client uses the plain one. It adds `isKept(time)`, which
 * returns true if the server may keep the session, and the `isOn` flag, which is undefined until the server has shown which
 * protocol it uses. Once that is known, it emits the client's event HELLO with the payload of `hello`, or with false on a plain
 * server.
 *
 * @module core
 */

export { connect } from "./client.js";
export { toProtocol } from "./subprotocol.js";
export { RoomerError } from "./error.js";
export { bytes, json, text } from "./codec.js";
export { directs } from "./directs.js";
export { history } from "./history.js";
export { ownInfo } from "./own-info.js";
export { receipts } from "./receipts.js";
export { rejections } from "./rejections.js";
export { renewal } from "./renewal.js";
export { requests } from "./requests.js";
export { sessions } from "./session.js";
export { streams } from "./stream.js";
export { tracing } from "./tracing.js";
