/** Clients that only fill a room: plain sockets in this process, without a WebSocket library. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";

import { encode } from "../../src/packet.js";

/** Returns a WebSocket frame as a client sends it, with a mask of zeros. */
function frame(packet) {
    const length = packet.length < 126 ? [0x80 | packet.length] : [0x80 | 126, packet.length >> 8, packet.length & 255];
    return Buffer.concat([Buffer.from([0x82, ...length, 0, 0, 0, 0]), packet]);
}

/**
 * Connects a client that joins a room and ignores all data that it receives, so a thousand of them cost this process very little.
 */
export async function guest(server, room) {
    const { hostname, port, host } = new URL(server.url);
    const socket = connect(port, hostname);
    socket.resume();
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(`GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`);
    socket.write(frame(encode(room, "join")));
    return {
        say: (event, text) => socket.write(frame(encode(room, event, "", "", new TextEncoder().encode(text)))),
        close: () => socket.destroy()
    };
}

/** Connects clients to a room, at most a hundred at the same time. */
export async function crowd(server, room, count) {
    const guests = [];
    while (guests.length < count) {
        guests.push(...await Promise.all(Array.from({ length: Math.min(100, count - guests.length) }, () => guest(server, room))));
    }
    return guests;
}
