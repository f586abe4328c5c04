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

export { connect } from "./client.js";
export { RoomerError } from "./error.js";
