/** Tests of compression between the chat servers and an independent implementation (`ws`), which negotiates as browsers do. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";

import WebSocket from "ws";

import { decodePacket, encodePacket } from "./support/packets.js";
import { RUNTIMES, startServerOn } from "./support/server.js";

/** Options of clients that compress all messages: one for each combination of parameters that can be negotiated. */
const OFFERS = [
    { threshold: 0 },
    { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true },
    { threshold: 0, clientMaxWindowBits: 9 },
    { threshold: 0, serverMaxWindowBits: 15, zlibDeflateOptions: { level: 9 } }
];

const json = JSON.stringify(Array.from({ length: 40 }, (_, i) => ({ id: i, name: "a name", at: [i * 3, i * 5], text: "some words" })));
const payloads = ["short", json, json.repeat(50), "x".repeat(70_000)];

/** Leaves `root` and joins a room. Returns the socket, and a function that returns the room's next message. */
async function join(url, perMessageDeflate) {
    const socket = new WebSocket(url, { perMessageDeflate });
    const packets = [];
    socket.on("message", (data) => packets.push(decodePacket(data)));
    const next = async (event) => {
        for (;;) {
            const at = packets.findIndex((packet) => packet.event === event);
            if (at >= 0) {
                return packets.splice(0, at + 1).pop();
            }
            await once(socket, "message");
        }
    };
    await next("join_ack");
    socket.send(encodePacket({ room: "r", event: "join" }));
    await next("join_ack");
    return { socket, next };
}

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { timeout: 300_000 }, () => {
        test("ws clients with compression send and receive all messages", async (t) => {
            const server = await startServerOn(runtime, "--deflate", "200");
            t.after(() => server.stop());
            const plain = await join(server.url, false);
            assert.equal(plain.socket.extensions, "");
            for (const offer of OFFERS) {
                const one = await join(server.url, offer);
                const two = await join(server.url, offer);
                assert.equal(one.socket.extensions, "permessage-deflate");
                for (const payload of payloads) {
                    const before = two.socket._socket.bytesRead;
                    one.socket.send(encodePacket({ room: "r", event: "e", payload }));
                    const got = await Promise.all([two.next("e"), plain.next("e")]);
                    assert.deepEqual(got.map((packet) => String(packet.payload)), [payload, payload]);
                    const read = two.socket._socket.bytesRead - before;
                    assert.ok(payload.length < 200 || read < 0.35 * payload.length, `${read} bytes for ${payload.length}`);
                }
                one.socket.close();
                two.socket.close();
                await Promise.all([once(one.socket, "close"), once(two.socket, "close")]);
            }
            plain.socket.close();
            await once(plain.socket, "close");
        });
    });
}
