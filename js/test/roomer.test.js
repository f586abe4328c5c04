/** Tests of the original client: joining, members, messages and sending. */

import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";

import roomer from "../src/compat/roomer.js";
import { FakeSocket, connected, connecting, inRoom, record, withWebSocket } from "./support/fake-socket.js";
import { encodePacket, text } from "./support/packets.js";

const RESERVED = ["close", "join", "join_ack", "leave", "leave_ack", "member_left", "new_member", "open"];

/** Runs `action`. Returns everything that it writes to console.error. */
function complaints(action) {
    const spy = mock.method(console, "error", () => {});
    try {
        action();
        return spy.mock.calls.map((call) => call.arguments[0]);
    } finally {
        spy.mock.restore();
    }
}

/** Returns a predicate for errors of this class, but not of a derived class. */
const exactly = (ErrorType) => (error) => error.constructor === ErrorType;

describe("roomer()", () => {
    test("connects at once and returns the frozen, pending root", () => {
        const { root, socket } = connecting();
        assert.ok(Object.isFrozen(roomer));
        assert.ok(Object.isFrozen(root));
        assert.equal(socket.url, "ws://stand-in/ws");
        assert.equal(socket.binaryType, "arraybuffer");
        assert.equal(root.name, "root");
        assert.equal(root.open(), false);
        assert.equal(root.id(), "");
        assert.deepEqual(root.members(), []);
        assert.equal(root.rooms().root, root);
    });

    for (const url of [undefined, null, 5, {}, ["ws://x"], new URL("ws://stand-in/ws")]) {
        test(`TypeError if the url is not a string: ${JSON.stringify(url)}`, () => {
            assert.throws(() => withWebSocket(FakeSocket, () => roomer(url)), exactly(TypeError));
        });
    }

    test("throws what the WebSocket constructor throws", () => {
        assert.throws(() => withWebSocket(FakeSocket, () => roomer("nonsense")), exactly(SyntaxError));
    });
});

describe("join", () => {
    test("sends join and opens the pending room on join_ack", () => {
        const { root, socket } = connected();
        const lobby = root.join("lobby");
        assert.deepEqual(socket.takePackets(), [
            { room: "lobby", event: "join", dst: "", src: "", payload: Buffer.alloc(0) }
        ]);
        assert.ok(Object.isFrozen(lobby));
        assert.equal(lobby.name, "lobby");
        assert.equal(lobby.open(), false);
        const states = [];
        lobby.on("open", (...args) => states.push([lobby.open(), lobby.id(), lobby.members(), args]));
        socket.joinAck("lobby", "me", ["other", "me"]);
        assert.deepEqual(states, [[true, "me", ["other", "me"], []]]);
    });

    test("returns the known room, pending or open, without sending", () => {
        const { root, socket } = connected();
        const lobby = root.join("lobby");
        socket.takePackets();
        assert.equal(root.join("lobby"), lobby);
        socket.joinAck("lobby", "me");
        assert.equal(root.join("lobby"), lobby);
        assert.equal(lobby.join("root"), root);
        assert.deepEqual(socket.takePackets(), []);
    });

    test("works from any open room, and for any name", () => {
        const { root, socket, room } = inRoom("lobby");
        for (const name of ["", "__proto__", "constructor", "🚪", "a\0b"]) {
            const other = room.join(name);
            assert.equal(other.name, name);
            socket.joinAck(name, "me");
            assert.equal(other.open(), true);
            assert.equal(root.rooms()[name], other);
        }
        assert.deepEqual(socket.takePackets().map((packet) => packet.room), ["", "__proto__", "constructor", "🚪", "a\0b"]);
    });

    test("Error while this room is not open, before anything else", () => {
        const { root, socket } = connecting();
        assert.throws(() => root.join("lobby"), exactly(Error));
        assert.throws(() => root.join(5), exactly(Error));
        socket.accept();
        socket.joinAck("root", "me");
        const pending = root.join("lobby");
        assert.throws(() => pending.join("other"), exactly(Error));
    });

    test("TypeError if the name is not a string", () => {
        const { root, socket } = connected();
        for (const wrong of [undefined, null, 5, {}, ["lobby"]]) {
            assert.throws(() => root.join(wrong), exactly(TypeError));
        }
        assert.deepEqual(socket.takePackets(), []);
    });

    test("a repeated join_ack replaces id and members and emits open again", () => {
        const { socket, room } = inRoom("lobby", ["me", "a"]);
        const log = record(room, "open", "new_member", "member_left");
        socket.joinAck("lobby", "me2", ["me2", "b"]);
        assert.deepEqual(log, [["open"]]);
        assert.equal(room.id(), "me2");
        assert.deepEqual(room.members(), ["me2", "b"]);
    });

    for (const payload of ["", "nonsense", "{}", "5", '"ids"', "null"]) {
        test(`a join_ack whose payload is ${payload || "empty"} opens the room without members`, () => {
            const { root, socket } = connecting();
            socket.accept();
            const log = record(root, "open");
            const noise = complaints(() => socket.receive({ room: "root", event: "join_ack", src: "me", payload }));
            assert.deepEqual([noise, log, root.open(), root.members()], [[], [["open"]], true, []]);
        });
    }
});

describe("members", () => {
    test("join and leave once each", () => {
        const { socket, room } = inRoom("lobby", ["me", "a"]);
        const log = record(room, "new_member", "member_left");
        for (const [event, payload] of [
            ["new_member", "b"], ["new_member", "b"], ["new_member", "a"],
            ["member_left", "a"], ["member_left", "a"], ["member_left", "stranger"]
        ]) {
            socket.receive({ room: "lobby", event, payload });
        }
        assert.deepEqual(log, [["new_member", "b"], ["member_left", "a"]]);
        assert.deepEqual(room.members(), ["me", "b"]);
    });

    test("are up to date when the event comes", () => {
        const { socket, room } = inRoom("lobby");
        const seen = [];
        room.on("new_member", () => seen.push(room.members()));
        room.on("member_left", () => seen.push(room.members()));
        socket.receive({ room: "lobby", event: "new_member", payload: "b" });
        socket.receive({ room: "lobby", event: "member_left", payload: "b" });
        assert.deepEqual(seen, [["me", "b"], ["me"]]);
    });

    test("members() is a copy", () => {
        const { room } = inRoom("lobby");
        room.members().push("intruder");
        assert.deepEqual(room.members(), ["me"]);
    });
});

describe("messages", () => {
    test("reach the room's listeners as bytes, with the sender", () => {
        const { root, socket, room } = inRoom("lobby");
        const log = record(room, "chat");
        const rootLog = record(root, "chat");
        socket.receive({ room: "lobby", event: "chat", dst: "me", src: "a", payload: "hé" });
        assert.equal(log.length, 1);
        const [[event, payload, ...rest]] = log;
        assert.equal(event, "chat");
        assert.equal(payload.constructor, Uint8Array);
        assert.equal(text(payload), "hé");
        assert.deepEqual(rest, ["a"], "dst is not passed on");
        assert.deepEqual(rootLog, []);
    });

    test("of unknown rooms are ignored", () => {
        const { root, socket } = connected();
        const log = record(root, "chat", "open", "close", "new_member");
        const noise = complaints(() => {
            for (const event of ["chat", "join_ack", "leave_ack", "new_member", "member_left"]) {
                socket.receive({ room: "elsewhere", event, src: "a", payload: "[]" });
            }
        });
        assert.deepEqual([noise, log], [[], []]);
        assert.deepEqual(Object.keys(root.rooms()), ["root"]);
    });

    test("may be followed by extra bytes", () => {
        const { socket, room } = inRoom("lobby");
        const log = record(room, "chat");
        socket.receiveBytes([...encodePacket({ room: "lobby", event: "chat", payload: "x" }), 1, 2, 3]);
        assert.equal(text(log[0][1]), "x");
    });

    test("that are malformed are logged, and later ones are received", () => {
        const { socket, room } = inRoom("lobby");
        const log = record(room, "chat");
        const packet = encodePacket({ room: "lobby", event: "chat", src: "a", payload: "x" });
        const noise = complaints(() => {
            for (let length = 0; length < packet.length; length++) {
                socket.receiveBytes(packet.subarray(0, length));
            }
            socket.onmessage({ data: "text" });
        });
        assert.equal(noise.length, packet.length + 1);
        assert.ok(noise.every((error) => error instanceof RangeError || error instanceof TypeError));
        assert.deepEqual(log, []);
        socket.receiveBytes(packet);
        assert.equal(log.length, 1);
    });

    test("exceptions of listeners are logged", () => {
        const { socket, room } = inRoom("lobby");
        const mine = new Error("mine");
        room.on("chat", () => { throw mine; });
        assert.deepEqual(complaints(() => socket.receive({ room: "lobby", event: "chat" })), [mine]);
        assert.deepEqual(complaints(() => room.parse({ room: "lobby", event: "chat", payload: new Uint8Array() })), [mine]);
        assert.equal(room.open(), true);
    });

    test("parse() takes a decoded packet", () => {
        const { root } = connecting();
        const log = record(root, "open", "chat");
        const payload = new TextEncoder().encode('["me"]');
        root.parse({ room: "root", event: "join_ack", dst: "", src: "me", payload });
        root.parse({ room: "root", event: "chat", dst: "", src: "a", payload });
        assert.deepEqual(log, [["open"], ["chat", payload, "a"]]);
        assert.deepEqual(root.members(), ["me"]);
    });
});

describe("send", () => {
    const sentBy = (...args) => {
        const { socket, room } = inRoom("lobby");
        assert.equal(room.send(...args), room);
        const packets = socket.takePackets();
        assert.equal(packets.length, 1);
        return packets[0];
    };

    test("sends to the room, with the client's own id as src", () => {
        assert.deepEqual(sentBy("chat", "hi"), { room: "lobby", event: "chat", dst: "", src: "me", payload: Buffer.from("hi") });
    });

    test("sends to one member", () => {
        assert.deepEqual(sentBy("chat", "hi", "a"), { room: "lobby", event: "chat", dst: "a", src: "me", payload: Buffer.from("hi") });
        assert.equal(sentBy("chat", "hi", null).dst, "");
        assert.equal(sentBy("chat", "hi", "").dst, "");
    });

    const buffer = new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]).buffer;
    for (const [what, payload, expected] of [
        ["a string as UTF-8", "né🚪", Buffer.from("né🚪")],
        ["an empty string", "", Buffer.alloc(0)],
        ["a typed array", new Uint8Array([1, 0, 255]), Buffer.from([1, 0, 255])],
        ["the window of a typed array only", new Uint16Array(buffer, 2, 2), Buffer.from([2, 3, 4, 5])],
        ["the window of a DataView only", new DataView(buffer, 1, 3), Buffer.from([1, 2, 3])],
        ["an ArrayBuffer", buffer, Buffer.from([0, 1, 2, 3, 4, 5, 6, 7])],
        ["an object as JSON", { a: [1, "é"] }, Buffer.from('{"a":[1,"é"]}')],
        ["an array as JSON", [1, null], Buffer.from("[1,null]")],
        ["an object whose JSON is nothing", { toJSON() {} }, Buffer.alloc(0)],
        ["a number", 1.5, Buffer.from("1.5")],
        ["zero", 0, Buffer.from("0")],
        ["NaN", NaN, Buffer.from("NaN")],
        ["true", true, Buffer.from("true")],
        ["false", false, Buffer.from("false")],
        ["undefined", undefined, Buffer.alloc(0)],
        ["null", null, Buffer.alloc(0)],
        ["a function", () => {}, Buffer.alloc(0)],
        ["a symbol", Symbol("x"), Buffer.alloc(0)],
        ["a bigint", 5n, Buffer.alloc(0)]
    ]) {
        test(`payload: ${what}`, () => assert.deepEqual(sentBy("e", payload).payload, expected));
    }

    test("TypeError for a cyclic object", () => {
        const { socket, room } = inRoom("lobby");
        const cyclic = {};
        cyclic.self = cyclic;
        assert.throws(() => room.send("e", cyclic), exactly(TypeError));
        assert.deepEqual(socket.takePackets(), []);
    });

    test("Error if the event is not a string or is reserved", () => {
        const { socket, room } = inRoom("lobby");
        for (const wrong of [undefined, null, 5, {}, ["chat"], ...RESERVED]) {
            assert.throws(() => room.send(wrong, "x"), exactly(Error));
        }
        assert.deepEqual(socket.takePackets(), []);
        for (const fine of ["", "JOIN", "Open", "newListener", "__proto__"]) {
            room.send(fine);
        }
        assert.equal(socket.takePackets().length, 5);
    });

    test("Error if the room is pending or closed", () => {
        const { root, socket } = connecting();
        assert.throws(() => root.send("chat"), exactly(Error));
        socket.accept();
        socket.joinAck("root", "me");
        root.forceClose();
        assert.throws(() => root.send("chat"), exactly(Error));
        assert.deepEqual(socket.takePackets(), []);
    });

    test("sends nothing, and does not throw, while the socket is closing", () => {
        const { socket, room } = inRoom("lobby");
        socket.readyState = 2;
        assert.equal(room.send("chat", "x"), room);
        assert.equal(room.leave(), room);
        assert.throws(() => room.send("join"), exactly(Error));
        assert.deepEqual(socket.takePackets(), []);
    });
});
