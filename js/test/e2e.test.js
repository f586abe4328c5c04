/** Tests of the original client with the real server. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { connect, connectOpen, joinOpen, next, nextWhere } from "./support/client.js";
import { record } from "./support/fake-socket.js";
import { encodePacket, text } from "./support/packets.js";
import { startServer } from "./support/server.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIMEOUT = { timeout: 300_000 };

/** Declares a group of tests with their own server, which is started with these flags. */
function withServer(title, flags, body) {
    describe(title, TIMEOUT, () => {
        const server = {};
        before(async () => Object.assign(server, await startServer(...flags)));
        after(() => server.stop?.());
        body(server);
    });
}

/** Connects clients, runs the test, and closes the connections. */
async function withClients(server, count, body) {
    const clients = [];
    try {
        while (clients.length < count) {
            clients.push(await connectOpen(server.url));
        }
        await body(...clients);
    } finally {
        for (const { socket } of clients) {
            socket.close();
        }
        await Promise.all(clients.map(({ ended }) => ended));
    }
}

/** Joins clients to a room, one after another. Resolves when each lists all others. */
async function gather(name, ...clients) {
    const rooms = [];
    for (const { root } of clients) {
        const noticed = rooms.map((room) => next(room, "new_member"));
        rooms.push(await joinOpen(root, name));
        await Promise.all(noticed);
    }
    return rooms;
}

withServer("a server as it comes", [], (server) => {
    test("root opens with the client's own id, made by the server", () => withClients(server, 2, async (a, b) => {
        assert.match(a.root.id(), UUID);
        assert.match(b.root.id(), UUID);
        assert.notEqual(a.root.id(), b.root.id());
        assert.ok(b.root.members().includes(a.root.id()) && b.root.members().includes(b.root.id()));
        assert.ok(a.root.open() && b.root.open());
    }));

    test("members are notified of joins and leaves", () => withClients(server, 2, async (a, b) => {
        const lobbyA = await joinOpen(a.root, "come and go");
        assert.deepEqual(lobbyA.members(), [a.root.id()]);
        const came = next(lobbyA, "new_member");
        const lobbyB = await joinOpen(b.root, "come and go");
        assert.deepEqual(await came, [b.root.id()]);
        assert.deepEqual(lobbyA.members().sort(), lobbyB.members().sort());

        const left = next(lobbyA, "member_left");
        const closed = next(lobbyB, "close");
        let wasOpen;
        lobbyB.on("close", () => (wasOpen = lobbyB.open()));
        lobbyB.leave();
        await closed;
        assert.deepEqual([wasOpen, lobbyB.open(), await left], [true, false, [b.root.id()]]);
        assert.deepEqual(lobbyA.members(), [a.root.id()]);
    }));

    test("a vanished client leaves every room", () => withClients(server, 2, async (a, b) => {
        const [one] = await gather("vanish 1", a, b);
        const [two] = await gather("vanish 2", a, b);
        const gone = b.root.id();
        // Clients of earlier tests may still be leaving `root`: wait for the notices about this client.
        const notices = [a.root, one, two].map((room) => nextWhere(room, "member_left", (id) => id === gone));
        const closed = next(b.root, "close");
        b.socket.close();
        await Promise.all(notices);
        assert.deepEqual([one.members(), two.members()], [[a.root.id()], [a.root.id()]]);
        assert.ok(!a.root.members().includes(gone));
        await closed;
        assert.deepEqual(b.root.rooms(), Object.create(null));
    }));

    test("messages reach all other members, with src set by the server", () => withClients(server, 3, async (a, b, c) => {
        const [roomA, roomB, roomC] = await gather("chat", a, b, c);
        const own = record(roomA, "chat");
        const heard = [next(roomB, "chat"), next(roomC, "chat")];
        roomA.send("chat", "hellö 🚪");
        for (const [payload, src] of await Promise.all(heard)) {
            assert.equal(payload.constructor, Uint8Array);
            assert.deepEqual([text(payload), src], ["hellö 🚪", a.root.id()]);
        }
        const answer = next(roomA, "chat");
        roomB.send("chat", "back");
        assert.equal((await answer)[1], b.root.id());
        assert.equal(own.length, 1, "nothing of its own came back");
    }));

    test("payloads of every kind arrive byte for byte", () => withClients(server, 2, async (a, b) => {
        const [roomA, roomB] = await gather("payloads", a, b);
        const bytes = Uint8Array.from({ length: 70_000 }, (_, n) => n % 256);
        for (const [payload, expected] of [[bytes, bytes], [{ x: [1] }, Buffer.from('{"x":[1]}')], [undefined, Buffer.alloc(0)], [7, Buffer.from("7")]]) {
            const heard = next(roomB, "data");
            roomA.send("data", payload);
            assert.ok(Buffer.from(expected).equals((await heard)[0]));
        }
    }));

    test("all members receive messages in the same order", () => withClients(server, 4, async (a, b, c, d) => {
        const [roomA, roomB, roomC, roomD] = await gather("order", a, b, c, d);
        const logs = [roomC, roomD].map((room) => {
            const log = [];
            const done = new Promise((resolve) => room.on("n", (payload) => log.push(text(payload)) === 200 && resolve()));
            return { log, done };
        });
        for (let n = 0; n < 100; n++) {
            roomA.send("n", `a${n}`);
            roomB.send("n", `b${n}`);
        }
        await Promise.all(logs.map(({ done }) => done));
        assert.deepEqual(logs[0].log, logs[1].log);
        const ofA = logs[0].log.filter((entry) => entry.startsWith("a"));
        assert.deepEqual(ofA, Array.from({ length: 100 }, (_, n) => `a${n}`));
    }));

    test("a whisper reaches one member", () => withClients(server, 3, async (a, b, c) => {
        const [roomA, roomB, roomC] = await gather("whisper", a, b, c);
        const overheard = record(roomC, "whisper");
        const heard = next(roomB, "whisper");
        roomA.send("whisper", "psst", b.root.id());
        const [payload, src] = await heard;
        assert.deepEqual([text(payload), src], ["psst", a.root.id()]);
        const after = next(roomC, "after");
        roomA.send("after");
        await after;
        assert.deepEqual(overheard, []);
    }));

    test("a direct message reaches its sender's own id, and none an unknown id", () => withClients(server, 1, async (a) => {
        const room = await joinOpen(a.root, "self");
        const log = record(room, "note");
        const heard = next(room, "end");
        room.send("note", "lost", "00000000-0000-4000-8000-000000000000").send("note", "mine", a.root.id()).send("end", "", a.root.id());
        await heard;
        assert.deepEqual(log.map(([, payload, src]) => [text(payload), src]), [["mine", a.root.id()]]);
    }));

    test("ping is answered in the room util", () => withClients(server, 1, async (a) => {
        const util = await joinOpen(a.root, "util");
        const pong = next(util, "pong");
        util.send("ping");
        const [payload, src] = await pong;
        assert.deepEqual([payload.length, src], [0, a.root.id()]);
    }));

    test("rooms with unusual names are distinct", () => withClients(server, 1, async (a) => {
        const names = ["", "__proto__", "constructor", "\ufefflobby", "lobby", "Lobby", "é", "e\u0301", "a\0b", "🚪", "x".repeat(4096)];
        for (const name of names) {
            assert.deepEqual((await joinOpen(a.root, name)).members(), [a.root.id()]);
        }
        assert.equal(Object.keys(a.root.rooms()).length, names.length + 1);
        const closed = names.map((name) => next(a.root.rooms()[name], "close"));
        a.root.purge();
        await Promise.all(closed);
        assert.deepEqual(Object.keys(a.root.rooms()), ["root"]);
    }));

    test("leave then immediate join rejoins the room", () => withClients(server, 2, async (a, b) => {
        const [roomA, roomB] = await gather("again", a, b);
        const log = record(roomB, "member_left", "new_member");
        const back = next(roomB, "new_member");
        roomA.leave();
        const again = a.root.join("again");
        assert.notEqual(again, roomA);
        await Promise.all([next(again, "open"), back]);
        assert.deepEqual(log, [["member_left", a.root.id()], ["new_member", a.root.id()]]);
        assert.deepEqual([roomA.open(), again.members().length], [false, 2]);
        const heard = next(again, "chat");
        roomB.send("chat", "welcome back");
        await heard;
    }));

    test("forceClose then immediate join gets a full snapshot", () => withClients(server, 2, async (a, b) => {
        const [roomA] = await gather("forced", a, b);
        roomA.forceClose();
        const again = await joinOpen(a.root, "forced");
        assert.deepEqual(again.members().sort(), [a.root.id(), b.root.id()].sort());
    }));

    test("root can be left and joined again", () => withClients(server, 1, async (a) => {
        const room = await joinOpen(a.root, "beside root");
        const closed = next(a.root, "close");
        a.root.leave();
        await closed;
        const again = await joinOpen(room, "root");
        assert.equal(again.id(), room.id());
    }));

    test("newListener and removeListener from peers reach no listener", () => withClients(server, 2, async (a, b) => {
        const [roomA, roomB] = await gather("hooks", a, b);
        const end = next(roomB, "end");
        const log = record(roomB, "newListener", "removeListener");
        log.length = 0;
        roomA.send("newListener", "x").send("removeListener", "x").send("end");
        await end;
        assert.deepEqual(log.filter(([, type]) => typeof type !== "string"), []);
    }));

    test("forged reserved events are dropped", () => withClients(server, 2, async (a, b) => {
        const [roomA, roomB] = await gather("forgery", a, b);
        const log = record(roomB, "open", "close", "new_member", "member_left");
        const end = next(roomB, "end");
        for (const event of ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"]) {
            for (const dst of ["", b.root.id()]) {
                a.socket.send(encodePacket({ room: "forgery", event, dst, payload: "forged" }));
            }
        }
        roomA.send("end");
        await end;
        assert.deepEqual(log, []);
        assert.deepEqual([roomB.open(), roomB.id(), roomB.members().length], [true, b.root.id(), 2]);
    }));

    test("garbage closes its sender without affecting others", () => withClients(server, 2, async (a, b) => {
        const [roomA] = await gather("garbage", a, b);
        const left = next(roomA, "member_left");
        b.socket.send(new Uint8Array([1, 2, 3]));
        assert.ok([1002, 1007].includes(await b.ended));
        await left;
        assert.deepEqual(roomA.members(), [a.root.id()]);
    }));
});

withServer("with --auth-token", ["--auth-token", "s3cret"], (server) => {
    test("the token admits the client", async () => {
        const { root, socket, ended } = await connectOpen(`${server.url}?token=s3cret`);
        assert.match(root.id(), UUID);
        socket.close();
        await ended;
    });

    for (const query of ["", "?token=wrong"]) {
        test(`root closes without ever opening if the token is ${query ? "wrong" : "missing"}`, async () => {
            const { root } = connect(server.url + query);
            const log = record(root, "open", "close");
            await next(root, "close");
            assert.deepEqual(log, [["close"]]);
        });
    }
});

withServer("with --max-message 1000", ["--max-message", "1000"], (server) => {
    test("an oversized message closes only its sender", () => withClients(server, 3, async (a, b, c) => {
        const [roomA, roomB, roomC] = await gather("big", a, b, c);
        const overhead = 20 + "big".length + "chat".length + 36;
        const heard = [next(roomB, "chat"), next(roomC, "chat")];
        roomA.send("chat", new Uint8Array(1000 - overhead));
        for (const [payload] of await Promise.all(heard)) {
            assert.equal(payload.length, 1000 - overhead);
        }
        const left = next(roomB, "member_left");
        const closed = next(roomA, "close");
        const id = a.root.id();
        roomA.send("chat", new Uint8Array(1001 - overhead));
        await closed;
        assert.equal(roomA.open(), false);
        assert.deepEqual(await left, [id]);
        const stillThere = next(roomC, "chat");
        roomB.send("chat", "still here");
        assert.equal(text((await stillThere)[0]), "still here");
    }));
});

withServer("with --panic-event", ["--panic-event"], (server) => {
    test("a panicking handler closes only its caller", () => withClients(server, 2, async (a, b) => {
        const [roomA, roomB] = await gather("panic", a, b);
        const left = next(roomB, "member_left");
        const id = a.root.id();
        roomA.send("panic");
        assert.equal(await a.ended, 1011);
        assert.deepEqual(await left, [id]);
        const echo = next(roomB, "echo");
        roomB.send("echo", "alive", b.root.id());
        assert.equal(text((await echo)[0]), "alive");
    }));
});

withServer("with --compat", ["--compat"], (server) => {
    test("broadcasts by non-members are delivered", () => withClients(server, 2, async (a, b) => {
        const room = await joinOpen(b.root, "open house");
        const heard = next(room, "chat");
        a.socket.send(encodePacket({ room: "open house", event: "chat", payload: "from outside" }));
        const [payload, src] = await heard;
        assert.deepEqual([text(payload), src], ["from outside", a.root.id()]);
    }));
});

test("a server shutdown closes every room with code 1001", TIMEOUT, async () => {
    const server = await startServer();
    const client = await connectOpen(server.url);
    const room = await joinOpen(client.root, "lobby");
    const closed = [next(room, "close"), next(client.root, "close")];
    await server.stop();
    await Promise.all(closed);
    assert.equal(await client.ended, 1001);
    assert.deepEqual([room.open(), client.root.open()], [false, false]);
});
