/** Tests with golden packets from the Go original's encoder: the client must read and write exactly these bytes. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, mock, test } from "node:test";

import { connected, record } from "./support/fake-socket.js";
import { decodePacket } from "./support/packets.js";

const vectors = JSON.parse(readFileSync(new URL("../../roomer-proto/tests/vectors.json", import.meta.url), "utf8"));

const hex = (digits) => Buffer.from(digits, "hex");

/** Returns a client to which the server has given this id, in the room `name`. */
function memberOf(name, id) {
    const { root, socket } = connected();
    const room = root.join(name);
    socket.joinAck(name, id);
    socket.takePackets();
    return { root, socket, room };
}

/** Checks that the client decodes these bytes to this message. */
function checkReading(frame, { room: name, event, src, payload }) {
    const { socket, room } = memberOf(name, "me");
    const log = record(room, event);
    socket.receiveBytes(frame);
    assert.equal(log.length, 1);
    assert.equal(log[0][2], src);
    assert.ok(payload.equals(log[0][1]), "the payload is the same");
}

/** Makes the client with the id `src` send this message. Returns the bytes. */
function written({ room: name, event, dst, src, payload }) {
    const { socket, room } = memberOf(name, src);
    room.send(event, payload, dst);
    assert.equal(socket.sent.length, 1);
    return Buffer.from(socket.sent[0]);
}

/** For each built-in event: its effect on a client that has requested to join the room. "ids" are the room's first members. */
const BUILT_IN = {
    join({ room: name, dst, frame }) {
        const { root, socket } = connected();
        root.join(name);
        const sent = Buffer.from(socket.sent.at(-1));
        // The vectors also contain the longer form of the packet, which servers accept but this client does not send.
        assert.equal(sent.equals(frame), dst === "");
        assert.deepEqual(decodePacket(sent), { room: name, event: "join", dst: "", src: "", payload: Buffer.alloc(0) });
    },
    leave({ room: name, src, frame }) {
        const { socket, room } = memberOf(name, src || "me");
        room.leave();
        assert.equal(Buffer.from(socket.sent[0]).equals(frame), src !== "");
        assert.equal(decodePacket(socket.sent[0]).event, "leave");
    },
    join_ack({ room: name, src, payload, frame }) {
        const { root, socket } = connected();
        const room = root.join(name);
        socket.receiveBytes(frame);
        assert.deepEqual([room.open(), room.id(), room.members()], [true, src, JSON.parse(payload)]);
    },
    new_member({ room: name, payload, frame }) {
        const { socket, room } = memberOf(name, "me");
        const log = record(room, "new_member");
        socket.receiveBytes(frame);
        assert.deepEqual(log, [["new_member", payload.toString()]]);
    },
    member_left({ room: name, payload, frame }) {
        const { root, socket } = connected();
        const room = root.join(name);
        socket.joinAck(name, "me", ["me", payload.toString()]);
        const log = record(room, "member_left");
        socket.receiveBytes(frame);
        assert.deepEqual(log, [["member_left", payload.toString()]]);
    },
    leave_ack({ room: name, frame }) {
        const { socket, room } = memberOf(name, "me");
        const log = record(room, "close");
        socket.receiveBytes(frame);
        assert.deepEqual([log, room.open()], [[["close"]], false]);
    }
};

describe("valid", () => {
    for (const { name, frame_hex, payload_hex, ...fields } of vectors.valid) {
        test(name, () => {
            const packet = { ...fields, frame: hex(frame_hex), payload: hex(payload_hex) };
            if (Object.hasOwn(BUILT_IN, packet.event)) {
                BUILT_IN[packet.event](packet);
                return;
            }
            checkReading(packet.frame, packet);
            assert.equal(written(packet).toString("hex"), frame_hex);
        });
    }
});

describe("rules", () => {
    for (const { name, frame_len, frame_sha256, ...rules } of vectors.rules) {
        test(name, () => {
            const expand = ({ repeat_hex, count }) => Buffer.concat(Array(count).fill(hex(repeat_hex)));
            const { payload, ...names } = Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, expand(rule)]));
            const packet = { payload };
            for (const [key, value] of Object.entries(names)) {
                packet[key] = value.toString();
            }
            const frame = written(packet);
            assert.equal(frame.length, frame_len);
            assert.equal(createHash("sha256").update(frame).digest("hex"), frame_sha256);
            checkReading(frame, packet);
        });
    }
});

describe("rewrite: what the server forwards", () => {
    for (const { name, out_hex } of vectors.rewrite) {
        test(name, () => checkReading(hex(out_hex), decodePacket(hex(out_hex))));
    }
});

describe("non-UTF-8 names match no other room", () => {
    for (const { name, frame_hex } of vectors.non_utf8) {
        test(name, () => {
            const { root, socket, room } = memberOf("lobby", "me");
            const logs = [record(root, "e"), record(room, "e")];
            socket.receiveBytes(hex(frame_hex));
            assert.deepEqual([logs, room.open(), root.open()], [[[], []], true, true]);
        });
    }
});

describe("invalid", () => {
    for (const { name, frame_hex, why } of vectors.invalid) {
        test(`${name} (${why})`, () => {
            const frame = hex(frame_hex);
            const { root, socket, room } = memberOf("room", "me");
            const log = record(room, "event");
            const spy = mock.method(console, "error", () => {});
            socket.receiveBytes(frame);
            spy.mock.restore();
            // Like the original client, this one ignores bytes after a packet. It rejects all other errors.
            const trailing = why.includes("trailing byte");
            assert.equal(spy.mock.callCount(), trailing ? 0 : 1);
            assert.equal(log.length, trailing && frame.length > 21 ? 1 : 0);
            assert.ok(root.open() && room.open());
        });
    }
});
