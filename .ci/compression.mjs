#!/usr/bin/env node
// Measures the cost of compression for a server.
//
// Sends messages with a kilobyte of JSON to a room of 100 members, first plain and then compressed. Prints the server's CPU
// time per message in µs, and the number of bytes that a member reads.
//
//     cargo build --release -p roomer-tokio --example chat
//     (cd js && npm ci)
//     node .ci/compression.mjs target/release/examples/chat    # a chat server, or
//     node .ci/compression.mjs ws                              # a broadcast by Node's `ws`
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import WebSocket, { WebSocketServer } from "../js/node_modules/ws/wrapper.mjs";

const MEMBERS = 100;
const THRESHOLD = 200;
const OFFER = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

const names = ["alice", "bob", "carol", "dave", "erin"];
const item = (i) => ({ id: 1000 + 7 * i, user: names[i % 5], text: `message number ${(31 * i) % 977} of the day`, at: `2026-11-29T21:${10 + i}:0${i}.${100 + 27 * i}Z`, read: i % 2 === 0 });
const json = JSON.stringify({ type: "chat", items: Array.from({ length: 9 }, (_, i) => item(i)) });

function packet(...fields) {
    return Buffer.concat(
        fields.flatMap((field) => {
            const length = Buffer.alloc(4);
            length.writeUInt32BE(field.length);
            return [length, Buffer.from(field)];
        })
    );
}

const join = packet("r", "join", "", "", "");
const message = packet("r", "chat", "", "", json);

/** Returns the user and system time of a process, in ms. */
function cpu(pid) {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
    return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** A server that sends each message to all other clients, as the chat does. */
function serve(deflate) {
    const perMessageDeflate = deflate && { threshold: THRESHOLD, serverNoContextTakeover: true, clientNoContextTakeover: true, zlibDeflateOptions: { level: 3 } };
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate }, () => console.log(`http://127.0.0.1:${server.address().port}`));
    server.on("connection", (socket) => {
        socket.on("error", () => {});
        socket.on("message", (data) => {
            if (data.length > join.length) {
                server.clients.forEach((other) => other === socket || other.send(data));
            }
        });
    });
}

async function measure(program, deflate) {
    const own = [fileURLToPath(import.meta.url), "--serve", deflate ? "deflate" : ""];
    const flags = ["--listen", "127.0.0.1:0", "--quiet", "--history", "0", "--no-presence", "*", ...(deflate ? ["--deflate", `${THRESHOLD}`] : [])];
    const child = program === "ws" ? spawn(process.execPath, own) : spawn(program, flags);
    const port = Number(String((await once(child.stdout, "data"))[0]).match(/:(\d+)\s/)[1]);
    // These members only count the bytes, so that the generator needs little CPU time.
    let bytes = 0;
    const members = [];
    for (let i = 0; i < MEMBERS; i++) {
        const member = net.connect(port, "127.0.0.1").on("data", (data) => (bytes += data.length));
        await once(member, "connect");
        member.write(`GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${deflate ? OFFER : ""}\r\n`);
        member.write(Buffer.concat([Buffer.from([0x82, 0x80 | join.length, 0, 0, 0, 0]), join]));
        members.push(member);
    }
    const [sender, reader] = [0, 1].map(() => new WebSocket(`ws://127.0.0.1:${port}/ws`, { perMessageDeflate: false }));
    await Promise.all([once(sender, "open"), once(reader, "open")]);
    [sender, reader].forEach((socket) => socket.send(join));
    let arrived;
    reader.on("message", (data) => data.length > 900 && arrived?.());
    const exchange = async (count) => {
        for (let i = 0; i < count; i++) {
            const next = new Promise((resolve) => (arrived = resolve));
            sender.send(message);
            await next;
        }
        // Wait until all members have received everything.
        for (let before = -1; before !== bytes; await sleep(700)) {
            before = bytes;
        }
    };
    await exchange(50);
    const [count, start] = [program === "ws" ? 200 : 2000, cpu(child.pid)];
    bytes = 0;
    await exchange(count);
    const spent = cpu(child.pid) - start;
    members.forEach((member) => member.destroy());
    [sender, reader].forEach((socket) => socket.terminate());
    child.kill("SIGKILL");
    await once(child, "exit");
    return { cpu: Math.round((1000 * spent) / count), bytes: Math.round(bytes / count / MEMBERS) };
}

const [program, mode] = process.argv.slice(2);
if (program === "--serve") {
    serve(mode === "deflate");
} else {
    for (let round = 0; round < 3; round++) {
        for (const deflate of [false, true]) {
            console.log(JSON.stringify({ deflate, ...(await measure(program, deflate)), payload: json.length }));
        }
    }
}
