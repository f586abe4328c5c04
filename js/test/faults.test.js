/** Tests that this client does not have the original client's bugs. The numbers are those in DIFFERENCES.md. */

import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";

import roomer from "../src/compat/roomer.js";
import { connected, connecting, inRoom, record, withWebSocket } from "./support/fake-socket.js";
import { encodePacket, text } from "./support/packets.js";

const isTypeError = (error) => error.constructor === TypeError;

describe("3: peers and the emitter's own events", () => {
    test("a peer's newListener and removeListener reach no listener", () => {
        const { socket, room } = inRoom("lobby");
        const log = record(room, "newListener", "removeListener");
        log.length = 0;
        socket.receive({ room: "lobby", event: "newListener", src: "peer", payload: "x" });
        socket.receive({ room: "lobby", event: "removeListener", src: "peer", payload: "x" });
        assert.deepEqual(log, []);
    });

    test("the client's own registrations still do", () => {
        const { room } = inRoom("lobby");
        const log = record(room, "newListener", "removeListener");
        log.length = 0;
        const listener = () => {};
        room.on("chat", listener).off("chat", listener);
        assert.deepEqual(log, [["newListener", "chat", listener], ["removeListener", "chat", listener]]);
    });

    test("a peer cannot disturb clearListeners", () => {
        const { socket, room } = inRoom("lobby");
        socket.receive({ room: "lobby", event: "newListener", src: "peer", payload: "chat" });
        socket.receive({ room: "lobby", event: "removeListener", src: "peer", payload: "chat" });
        room.on("chat", () => {}).on("keep", () => {});
        room.clearListeners(["keep"]);
        assert.deepEqual([room.listeners("chat").length, room.listeners("keep").length], [0, 1]);
    });
});

describe("6: a private message never becomes public", () => {
    for (const dst of [5, 0, false, true, NaN, {}, ["id"], () => {}, Symbol("id"), 5n]) {
        test(`TypeError if dst is ${String(dst) || "an object"}`, () => {
            const { socket, room } = inRoom("lobby");
            assert.throws(() => room.send("chat", "secret", dst), isTypeError);
            assert.deepEqual(socket.takePackets(), []);
        });
    }
});

describe("20: big rooms", () => {
    const ids = Array.from({ length: 200_000 }, (_, n) => `id-${n}`);

    test("a snapshot of 200,000 members arrives whole", () => {
        const { room } = inRoom("lobby", ids);
        assert.equal(room.members().length, 200_000);
        assert.equal(room.members().at(-1), "id-199999");
    });

    test("notices update it incrementally", () => {
        const { socket, room } = inRoom("lobby", ids);
        const log = record(room, "new_member", "member_left");
        for (const [event, payload] of [["new_member", "late"], ["new_member", "id-5"], ["member_left", "id-5"], ["member_left", "id-5"]]) {
            socket.receive({ room: "lobby", event, payload });
        }
        assert.deepEqual(log, [["new_member", "late"], ["member_left", "id-5"]]);
        assert.equal(room.members().length, 200_000);
        assert.deepEqual([room.members()[5], room.members().at(-1)], ["id-6", "late"]);
    });
});

describe("28: leave and join at once", () => {
    test("creates a new room that survives the leave_ack", () => {
        const { root, socket, room } = inRoom("lobby");
        room.leave();
        const again = root.join("lobby");
        assert.notEqual(again, room);
        assert.deepEqual(socket.takePackets().map(({ event }) => event), ["leave", "join"]);
        const log = record(room, "open", "close", "chat");
        const newLog = record(again, "open", "close", "chat");

        socket.receive({ room: "lobby", event: "chat", src: "a" });
        socket.leaveAck("lobby", "me");
        assert.deepEqual(log.map(([event]) => event), ["chat", "close"], "till then the traffic is the old room's");
        socket.joinAck("lobby", "me", ["me", "a"]);
        socket.receive({ room: "lobby", event: "chat", src: "a" });

        assert.deepEqual(newLog.map(([event]) => event), ["open", "chat"]);
        assert.equal(log.length, 2);
        assert.deepEqual([room.open(), again.open(), root.rooms().lobby], [false, true, again]);
        assert.equal(root.join("lobby"), again);
    });

    test("a second leave() of the old room does not end the new one", () => {
        const { root, socket, room } = inRoom("lobby");
        room.leave();
        root.join("lobby");
        assert.equal(room.leave(), room);
        root.purge();
        assert.deepEqual(socket.takePackets().map(({ event }) => event), ["leave", "join"]);
    });

    test("forceClose() after leave() keeps the leave_ack from closing the new room", () => {
        const { root, socket, room } = inRoom("lobby");
        room.leave().forceClose();
        const again = root.join("lobby");
        const oldLog = record(room, "open", "close", "chat");
        const log = record(again, "open", "close", "chat");
        socket.receive({ room: "lobby", event: "chat", src: "a" });
        socket.leaveAck("lobby", "me");
        socket.joinAck("lobby", "me");
        assert.deepEqual([oldLog, log], [[], [["open"]]]);
    });

    test("works as well if the leave_ack is fed in by parse()", () => {
        const { root, socket, room } = inRoom("lobby");
        room.leave();
        room.parse({ room: "lobby", event: "leave_ack", dst: "", src: "me", payload: new Uint8Array() });
        const again = root.join("lobby");
        socket.joinAck("lobby", "me");
        assert.deepEqual([room.open(), again.open()], [false, true]);
    });

    test("join in the close listener of the same room works", () => {
        for (const end of ["leave_ack", "forceClose"]) {
            const { root, socket, room } = inRoom("lobby");
            let again;
            room.on("close", () => (again = root.join("lobby")));
            if (end === "leave_ack") {
                room.leave();
                socket.leaveAck("lobby", "me");
            } else {
                room.forceClose();
            }
            assert.notEqual(again, room);
            socket.joinAck("lobby", "me");
            assert.deepEqual([room.open(), again.open(), root.rooms().lobby], [false, true, again]);
        }
    });

    test("both rooms close when the socket ends in between", () => {
        const { root, socket, room } = inRoom("lobby");
        room.leave();
        const logs = [record(room, "close"), record(root.join("lobby"), "close")];
        socket.end();
        assert.deepEqual(logs, [[["close"]], [["close"]]]);
    });
});

describe("29: pending rooms", () => {
    test("forceClose() closes them for good", () => {
        const { root, socket } = connected();
        const lobby = root.join("lobby");
        const log = record(lobby, "open", "close");
        lobby.forceClose();
        assert.deepEqual(log, [["close"]]);
        assert.deepEqual(Object.keys(root.rooms()), ["root"]);
        socket.joinAck("lobby", "me");
        assert.deepEqual(log, [["close"]]);
        assert.equal(lobby.open(), false);
    });

    test("close when the socket ends, root included", () => {
        const early = connecting();
        const rootLog = record(early.root, "open", "close");
        early.socket.end();
        assert.deepEqual(rootLog, [["close"]]);

        const { root, socket } = connected();
        const log = record(root.join("lobby"), "open", "close");
        socket.end();
        assert.deepEqual(log, [["close"]]);
    });

    test("close even if they were joined while the socket closes", () => {
        const { root, socket, room } = inRoom("lobby");
        const log = [];
        root.on("close", () => room.join("late").on("close", () => log.push("close")));
        socket.end();
        assert.deepEqual(log, ["close"]);
    });

    test("a throwing listener does not keep other rooms open", () => {
        const { root, socket, room } = inRoom("lobby");
        const spy = mock.method(console, "error", () => {});
        root.on("close", () => { throw new Error("mine"); });
        const log = record(room, "close");
        socket.end();
        spy.mock.restore();
        assert.equal(spy.mock.callCount(), 1);
        assert.deepEqual(log, [["close"]]);
        assert.deepEqual(Object.keys(root.rooms()), []);
    });

    test("a close listener that throws at leave_ack does not keep the room open", () => {
        const { root, socket, room } = inRoom("lobby");
        const spy = mock.method(console, "error", () => {});
        room.on("close", () => { throw new Error("mine"); });
        socket.leaveAck("lobby", "me");
        spy.mock.restore();
        assert.deepEqual([room.open(), Object.keys(root.rooms())], [false, ["root"]]);
    });
});

describe("30: purge", () => {
    test("skips rooms that are pending", () => {
        const { root, socket } = connected();
        const pending = root.join("pending");
        const open = root.join("open room");
        socket.joinAck("open room", "me");
        socket.takePackets();
        root.purge();
        assert.deepEqual(socket.takePackets().map(({ room, event }) => [room, event]), [["open room", "leave"]]);
        socket.joinAck("pending", "me");
        assert.deepEqual([pending.open(), open.open()], [true, true]);
    });
});

describe("31: names", () => {
    test("a byte order mark at the start belongs to the name", () => {
        const { root, socket } = connected();
        const marked = root.join("\ufefflobby");
        const plain = root.join("lobby");
        const log = record(marked, "\ufeffchat", "chat");
        socket.joinAck("\ufefflobby", "me");
        socket.receive({ room: "\ufefflobby", event: "\ufeffchat", src: "\ufeffa", payload: "\ufeffx" });
        assert.deepEqual([marked.open(), plain.open()], [true, false]);
        assert.deepEqual(log.map(([event, payload, src]) => [event, text(payload), src]), [["\ufeffchat", "\ufeffx", "\ufeffa"]]);
    });

    test("lone surrogates are refused with TypeError", () => {
        const { socket, root, room } = inRoom("lobby");
        for (const broken of ["\ud800", "a\udc00b", "\udc00\ud800", "🚪".slice(1)]) {
            assert.throws(() => root.join(broken), isTypeError);
            assert.throws(() => room.send(broken, "x"), isTypeError);
            assert.throws(() => room.send("chat", "x", broken), isTypeError);
        }
        assert.deepEqual(socket.takePackets(), []);
        assert.equal(root.join("🚪").name, "🚪");
    });
});

describe("33: no WebSocket", () => {
    test("an Error names the remedy", () => {
        const attempt = () => withWebSocket(undefined, () => roomer("ws://stand-in/ws"));
        assert.throws(attempt, (error) => error.constructor === Error && /--experimental-websocket/.test(error.message));
    });

    test("a url that is not a string is reported first", () => {
        assert.throws(() => withWebSocket(undefined, () => roomer(5)), isTypeError);
    });
});

describe("34: clearListeners after removeAllListeners", () => {
    test("still knows of later listeners", () => {
        const { room } = inRoom("lobby");
        room.on("chat", () => {});
        room.removeAllListeners();
        room.on("chat", () => {}).on("keep", () => {});
        room.clearListeners(["keep"]);
        assert.deepEqual([room.listeners("chat").length, room.listeners("keep").length], [0, 1]);
    });

    test("adds no listeners of its own that users could see or remove", () => {
        const { root, room } = inRoom("lobby");
        assert.deepEqual([root.listeners(), room.listeners()], [[], []]);
    });
});

test("event names of peers such as __proto__ are ordinary", () => {
    const { socket, room } = inRoom("lobby");
    for (const event of ["__proto__", "constructor", "toString", "emit", "on", ""]) {
        const log = record(room, event);
        socket.receiveBytes(encodePacket({ room: "lobby", event, src: "peer", payload: "x" }));
        assert.deepEqual(log.map(([name, payload, src]) => [name, text(payload), src]), [[event, "x", "peer"]]);
    }
});
