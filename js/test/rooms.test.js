/** Tests of the original client's rooms: leaving, closing, and the end of the socket. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connected, connecting, inRoom, record } from "./support/fake-socket.js";

/** Returns a list to which the room's open(), id() and members() are added whenever it emits "close". */
function closeStates(room) {
    const states = [];
    room.on("close", (...args) => states.push({ open: room.open(), id: room.id(), members: room.members(), args }));
    return states;
}

describe("leave", () => {
    test("sends leave and changes nothing until leave_ack", () => {
        const { root, socket, room } = inRoom("lobby", ["me", "a"]);
        assert.equal(room.leave(), room);
        assert.deepEqual(socket.takePackets(), [
            { room: "lobby", event: "leave", dst: "me", src: "me", payload: Buffer.from("me") }
        ]);
        assert.equal(room.open(), true);
        assert.deepEqual(room.members(), ["me", "a"]);
        assert.equal(root.rooms().lobby, room);
    });

    test("close is emitted before open() and members change", () => {
        const { root, socket, room } = inRoom("lobby", ["me", "a"]);
        const states = closeStates(room);
        room.leave();
        socket.leaveAck("lobby", "me");
        assert.deepEqual(states, [{ open: true, id: "me", members: ["me", "a"], args: [] }]);
        assert.deepEqual([room.open(), room.id(), room.members()], [false, "", []]);
        assert.deepEqual(Object.keys(root.rooms()), ["root"]);
    });

    test("messages are received until the leave_ack", () => {
        const { socket, room } = inRoom("lobby");
        const log = record(room, "chat", "close");
        room.leave();
        socket.receive({ room: "lobby", event: "chat" });
        socket.leaveAck("lobby", "me");
        socket.receive({ room: "lobby", event: "chat" });
        assert.deepEqual(log.map(([event]) => event), ["chat", "close"]);
    });

    test("Error if the room is not open", () => {
        const { root, socket } = connecting();
        assert.throws(() => root.leave(), (error) => error.constructor === Error);
        socket.accept();
        socket.joinAck("root", "me");
        root.leave();
        socket.leaveAck("root", "me");
        assert.throws(() => root.leave(), (error) => error.constructor === Error);
    });

    test("a leave_ack without a request closes the room as well", () => {
        const { socket, room } = inRoom("lobby");
        const states = closeStates(room);
        socket.leaveAck("lobby", "me");
        assert.equal(states.length, 1);
        assert.equal(room.open(), false);
    });

    test("a refused join closes and removes the room", () => {
        const { root, socket } = connected();
        const secret = root.join("secret");
        const log = record(secret, "open", "close");
        socket.leaveAck("secret", "me");
        assert.deepEqual(log, [["close"]]);
        assert.deepEqual(Object.keys(root.rooms()), ["root"]);
        assert.notEqual(root.join("secret"), secret);
    });

    test("root can be left and joined again from another room", () => {
        const { root, socket, room } = inRoom("lobby");
        root.leave();
        socket.leaveAck("root", "me");
        assert.deepEqual(Object.keys(root.rooms()), ["lobby"]);
        const again = room.join("root");
        socket.joinAck("root", "me");
        assert.notEqual(again, root);
        assert.equal(again.open(), true);
        assert.deepEqual(Object.keys(again.rooms()).sort(), ["lobby", "root"]);
    });
});

describe("forceClose", () => {
    test("clears members, emits close and removes the room, sending nothing", () => {
        const { root, socket, room } = inRoom("lobby", ["me", "a"]);
        const states = closeStates(room);
        room.forceClose();
        assert.deepEqual(states, [{ open: false, id: "", members: [], args: [] }]);
        assert.deepEqual(Object.keys(root.rooms()), ["root"]);
        assert.deepEqual(socket.takePackets(), []);
    });

    test("returns the room, open, pending or closed", () => {
        const { root, room } = inRoom("lobby");
        const pending = root.join("pending");
        for (const each of [room, pending, room]) {
            assert.equal(each.forceClose(), each);
        }
    });

    test("does nothing on a closed room", () => {
        const { room } = inRoom("lobby");
        const states = closeStates(room);
        room.on("close", () => room.forceClose());
        room.forceClose();
        room.forceClose();
        assert.equal(states.length, 1);
    });

    test("allows a new join", () => {
        const { root, socket, room } = inRoom("lobby");
        room.forceClose();
        const again = root.join("lobby");
        assert.notEqual(again, room);
        assert.deepEqual(socket.takePackets().map(({ event }) => event), ["join"]);
        const log = record(room, "open", "chat");
        const newLog = record(again, "open", "chat");
        socket.joinAck("lobby", "me");
        socket.receive({ room: "lobby", event: "chat" });
        assert.deepEqual(log, []);
        assert.deepEqual(newLog.map(([event]) => event), ["open", "chat"]);
    });
});

describe("the end of the socket", () => {
    for (const event of ["close", "error"]) {
        test(`("${event}") closes every open room once; open() is already false`, () => {
            const { root, socket, room } = inRoom("lobby", ["me", "a"]);
            const states = closeStates(room);
            const rootStates = closeStates(root);
            socket.end(event);
            socket.end("close");
            const gone = { open: false, id: "", members: [], args: [] };
            assert.deepEqual([states, rootStates], [[gone], [gone]]);
            assert.deepEqual(Object.keys(root.rooms()), []);
            assert.throws(() => root.join("lobby"), (error) => error.constructor === Error);
        });
    }
});

describe("root", () => {
    test("only root has purge and rooms", () => {
        const { root, room } = inRoom("lobby");
        assert.deepEqual([typeof root.purge, typeof root.rooms], ["function", "function"]);
        assert.deepEqual([room.purge, room.rooms], [undefined, undefined]);
    });

    test("rooms() is a frozen, null-prototype map of open and pending rooms", () => {
        const { root, room } = inRoom("lobby");
        const pending = root.join("__proto__");
        const rooms = root.rooms();
        assert.ok(Object.isFrozen(rooms));
        assert.equal(Object.getPrototypeOf(rooms), null);
        assert.deepEqual(Object.keys(rooms).sort(), ["__proto__", "lobby", "root"]);
        assert.equal(rooms.lobby, room);
        assert.equal(rooms["__proto__"], pending);
        root.join("later");
        assert.equal("later" in rooms, false, "a snapshot");
    });

    test("purge() leaves every other room", () => {
        const { root, socket } = inRoom("lobby");
        root.join("kitchen");
        socket.joinAck("kitchen", "me");
        socket.takePackets();
        assert.equal(root.purge(), root);
        assert.deepEqual(socket.takePackets().map(({ room, event }) => [room, event]), [["lobby", "leave"], ["kitchen", "leave"]]);
        assert.equal(root.open(), true);
    });
});

describe("clearListeners", () => {
    const events = (room) => ["open", "chat", "other"].filter((event) => room.listeners(event).length > 0);

    test("removes all listeners", () => {
        const { room } = inRoom("lobby");
        room.on("open", () => {}).on("chat", () => {}).once("other", () => {});
        assert.equal(room.clearListeners(), room);
        assert.deepEqual(room.listeners(), []);
    });

    test("keeps those of the events in the array", () => {
        const { room } = inRoom("lobby");
        room.on("open", () => {}).on("chat", () => {}).on("other", () => {});
        room.clearListeners(["chat", "open"]);
        assert.deepEqual(events(room), ["open", "chat"]);
    });

    test("treats any other argument as an empty list", () => {
        for (const wrong of [null, "chat", 5, {}]) {
            const { room } = inRoom("lobby");
            room.on("chat", () => {});
            room.clearListeners(wrong);
            assert.deepEqual(events(room), []);
        }
    });
});
