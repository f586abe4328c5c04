/** Tests of attacks on a client of connect() by peers, which can only send messages to it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { decode, encode, toBytes } from "../src/packet.js";
import { record, setUp } from "./support/kit.js";
import { encodePacket } from "./support/packets.js";

const LIFE = ["open", "reopen", "close", "new_member", "member_left"];

describe("peers", () => {
    test("cannot forge server events, even through a permissive server", async () => {
        const kit = setUp();
        const [{ client, room, errors }] = await kit.inRoom("lobby");
        const logs = [room, client.root].map((each) => record(each, ...LIFE, "join", "leave", "join_ack", "leave_ack"));
        const made = record(client, "room", "state", "error", "overflow");
        const [conn] = kit.server.connections();
        const { id } = client;
        for (const name of ["lobby", "root", "elsewhere"]) {
            for (const event of ["join_ack", "leave_ack", "new_member", "member_left", "open", "close", "reopen", "join", "leave"]) {
                for (const dst of ["", id]) {
                    conn.deliver(encode(name, event, dst, "peer", toBytes('["peer"]')));
                    // A server that does not check senders forwards packets with a forged sender, here this client's id or none.
                    if (dst) {
                        conn.deliver(encode(name, event, dst, id, toBytes('["peer"]')));
                        conn.deliver(encode(name, event, dst, "", toBytes('["peer"]')));
                    }
                }
            }
            for (const event of ["newListener", "removeListener", "error", "state", "room", "overflow", "__proto__", "constructor", "then"]) {
                conn.deliver(encode(name, event, "", "peer", toBytes("{}")));
            }
        }
        await kit.server.advance();
        assert.deepEqual([logs, made, errors], [[[], []], [], []]);
        assert.deepEqual([client.id, room.members(), room.state, client.rooms().length], [id, [id], "open", 2]);
    });

    test("may use any other event name", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const names = ["newListener", "removeListener", "error", "state", "room", "__proto__", "constructor", "toString", "on", ""];
        const log = record(room, ...names);
        names.forEach((name) => kit.server.broadcast("lobby", name, 1));
        await kit.server.advance();
        assert.deepEqual(log.map(([event]) => event), names);
    });

    test("a reserved event sent by a peer is dropped", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2);
        const log = record(b.room, ...LIFE);
        const { WebSocket } = kit.server.options;
        const raw = new WebSocket("ws://test/ws");
        await kit.server.advance();
        raw.send(encode("lobby", "join"));
        for (const event of ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"]) {
            raw.send(encode("lobby", event, "", "", toBytes("forged")));
            raw.send(encode("lobby", event, b.client.id, "", toBytes("forged")));
        }
        raw.send(encode("elsewhere", "chat"));
        await kit.server.advance();
        assert.deepEqual(log.map(([event]) => event), ["new_member"]);
        assert.equal(a.room.state, "open");
    });
});

describe("frames", () => {
    test("match an independent encoder byte for byte", () => {
        for (const fields of [["", "", "", "", ""], ["lobby", "chat", "to", "from", "hellö"], ["\ufeffx", "🚪", "", "", "\0"], ["n".repeat(70_000), "e", "", "", ""]]) {
            const [room, event, dst, src, payload] = fields;
            const bytes = encodePacket({ room, event, dst, src, payload });
            assert.ok(bytes.equals(encode(room, event, dst, src, toBytes(payload))));
            const packet = decode(new Uint8Array(bytes).buffer);
            assert.deepEqual({ ...packet, payload: String(Buffer.from(packet.payload)) }, { room, event, to: dst, from: src, payload });
        }
    });

    test("truncated or extended at any length are refused", () => {
        const whole = encode("lobby", "chat", "to", "from", toBytes("hello"));
        for (let length = 0; length < whole.length; length++) {
            assert.throws(() => decode(whole.slice(0, length).buffer), RangeError);
        }
        assert.throws(() => decode(new Uint8Array([...whole, 0]).buffer), RangeError);
        for (const size of [0xffffffff, 0x80000000, 0x7fffffff]) {
            const huge = whole.slice();
            new DataView(huge.buffer).setUint32(0, size);
            assert.throws(() => decode(huge.buffer), RangeError);
        }
    });

    /** Returns a generator of pseudorandom numbers, which are the same in each run. */
    function chance(seed) {
        let state = seed;
        return (below) => {
            state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
            return Math.floor((state / 2 ** 32) * below);
        };
    }

    test("of arbitrary bytes do not throw or stop the client", async () => {
        const kit = setUp();
        const sockets = [];
        class Seen extends kit.server.options.WebSocket {
            constructor(url) {
                super(url);
                sockets.push(this);
            }
        }
        const { client, errors } = kit.connect({ WebSocket: Seen });
        const room = client.join("lobby");
        for (const event of [...LIFE, "chat"]) {
            room.on(event, () => { throw new Error("and listeners that throw"); });
        }
        await kit.server.advance();
        const pick = chance(7);
        const names = ["lobby", "root", "new", ""];
        const events = ["join_ack", "leave_ack", "new_member", "member_left", "chat", "open", ""];
        const sources = ["", client.id, "peer"];
        const payloads = ["", "[", "[1]", "{}", '["x"]', "null", "\ud800", "5"];
        for (let round = 0; round < 20_000; round++) {
            const one = (list) => list[pick(list.length)];
            const bytes = encodePacket({ room: one(names), event: one(events), dst: one(["", "", client.id]), src: one(sources), payload: one(payloads) });
            for (let flips = pick(4); flips > 0; flips--) {
                bytes[pick(bytes.length)] = pick(256);
            }
            const cut = pick(3) ? bytes : bytes.subarray(0, pick(bytes.length + 1));
            const data = pick(50) ? new Uint8Array(cut).buffer : one([undefined, null, "text", 5, {}, new Uint8Array(cut)]);
            assert.doesNotThrow(() => sockets[0].onmessage({ data }));
        }
        assert.ok(errors.length > 1_000);
        assert.deepEqual([...new Set(errors.map((error) => error.code))].sort(), ["listener", "packet", "payload"]);
        client.rooms().forEach((each) => each.leave());
        kit.server.cut();
        await kit.server.advance(2_000);
        const again = client.join("after");
        await kit.server.advance();
        assert.deepEqual([client.state, again.state, again.members()], ["open", "open", [client.id]]);
    });
});
