/** The program that far.js starts: a client of connect() in a separate process.
 *
 * It reads commands and writes events, each as a line of JSON.
 */

import { createInterface } from "node:readline";

import { connect } from "../../src/index.js";

const { url, rooms, socket, extended, options } = JSON.parse(process.argv[2]);
const tell = (...line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const Base = socket === "ws" ? (await import("ws")).WebSocket : globalThis.WebSocket;
/** A socket class that does not request the extended protocol. */
class PlainSocket extends Base {
    constructor(address, protocols = []) {
        super(address.replace("roomer=2", "other=2"), protocols);
    }
}
const WebSocket = extended ? Base : PlainSocket;
const client = connect(url, { codec: "json", reconnect: { minDelay: 20, maxDelay: 200 }, ...options, WebSocket });

client.on("state", (state, error) => tell("state", state, error?.code, error?.closeCode, error?.reason));
client.on("resumed", () => {
    tell("resumed", client.id);
    rooms.forEach((name) => tell("reopen", name, client.id));
});
client.on("error", (error) => tell("error", error.code, error.message));
client.on("overflow", ({ room, event, payload }) => tell("overflow", room, event, payload));
client.on("lost", ({ room, event, payload, reason }) => tell("lost", { room, event, payload, reason }));
for (const name of rooms) {
    const room = client.join(name);
    room.on("open", () => tell("open", name, client.id));
    room.on("reopen", () => tell("reopen", name, client.id));
    room.on("close", (error) => tell("close", name, error?.code));
    for (const event of ["new_member", "member_left"]) {
        room.on(event, (member) => tell(event, name, member));
    }
    room.on("chat", (payload, from) => tell("chat", name, typeof payload === "string" && payload.length > 100 ? payload.length : payload, from));
}

createInterface({ input: process.stdin }).on("line", (line) => {
    const { room, payload, size } = JSON.parse(line);
    tell("said", room, client.join(room).send("chat", size ? "x".repeat(size) : payload));
}).on("close", () => process.exit());
