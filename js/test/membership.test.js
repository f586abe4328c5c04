/** Tests of joining, rejoining and leaving rooms with connect(), and of members, with the test kit's server. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode, toBytes } from "../src/packet.js";
import { code, nthId, record, setUp } from "./support/kit.js";

const LIFE = ["open", "reopen", "close", "new_member", "member_left", "member_changed"];
/** Reduces each event in a log to its name and its first argument, which for membership events is the id. */
const short = (log) => log.map(([event, id]) => [event, id]);

/** Breaks all connections, and waits until the clients have reconnected. */
async function cutAndReturn(server) {
    server.cut();
    await server.advance(1_000);
}

describe("join", () => {
    test("works before and after connecting", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const early = client.join("early");
        assert.deepEqual([early.state, early.id, early.members(), client.id], ["joining", "", [], ""]);
        const log = record(early, ...LIFE);
        await kit.server.advance();
        const late = client.join("late");
        await kit.server.advance();
        assert.deepEqual([log, early.state, late.state], [[["open"]], "open", "open"]);
        assert.deepEqual([client.id, early.id, client.root.id, client.root.members()], [nthId(1), nthId(1), nthId(1), [nthId(1)]]);
        assert.deepEqual(client.rooms().map(({ name }) => name), ["root", "early", "late"]);
    });

    test("returns the existing room without a second request", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const room = client.join("lobby");
        assert.equal(client.join("lobby"), room);
        await kit.server.advance();
        assert.equal(client.join("lobby"), room);
        assert.equal(client.join("root"), client.root);
        const log = record(room, ...LIFE);
        await kit.server.advance();
        assert.deepEqual(log, []);
    });

    test("accepts any valid name and refuses others", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const names = ["", "__proto__", "constructor", "\ufefflobby", "lobby", "é", "e\u0301", "a\0b", "🚪"];
        const rooms = names.map((name) => client.join(name));
        await kit.server.advance();
        assert.deepEqual(rooms.map(({ state }) => state), names.map(() => "open"));
        assert.equal(kit.server.connections()[0].rooms().length, names.length + 1);
        for (const wrong of [undefined, null, 5, {}, "\ud800", "\0probe"]) {
            assert.throws(() => client.join(wrong), code("argument"));
        }
    });

    test("on a closed client is refused", async () => {
        const { client } = setUp().connect();
        client.close();
        assert.throws(() => client.join("lobby"), code("closed"));
    });

    test("rooms and clients are frozen", () => {
        const { client } = setUp().connect();
        assert.ok([client, client.root, client.root.memberSet].every(Object.isFrozen));
    });
});

describe("opened", () => {
    test("resolves once the room is open", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const room = client.join("lobby");
        await kit.server.advance();
        assert.equal(await room.opened, room);
        kit.server.cut();
        assert.equal(await room.opened, room);
    });

    test("rejects if the room is refused, left or closed first", async () => {
        const kit = setUp();
        kit.server.allow({ join: (conn, room) => room !== "forbidden" });
        const { client } = kit.connect();
        const [forbidden, left, never] = ["forbidden", "left", "never"].map((name) => client.join(name));
        const log = record(forbidden, ...LIFE);
        left.leave();
        await kit.server.advance();
        await assert.rejects(forbidden.opened, code("refused"));
        await assert.rejects(left.opened, code("closed"));
        assert.deepEqual(log.map(([event, error]) => [event, error.code]), [["close", "refused"]]);
        await assert.doesNotReject(never.opened);
        const pending = client.join("pending");
        client.close();
        await assert.rejects(pending.opened, code("closed"));
    });

    test("a refused room is not rejoined automatically", async () => {
        const kit = setUp();
        let open = false;
        kit.server.allow({ join: (conn, room) => open || room !== "vip" });
        const { client } = kit.connect();
        const refused = client.join("vip");
        await kit.server.advance();
        assert.equal(refused.state, "closed");
        open = true;
        await cutAndReturn(kit.server);
        assert.deepEqual(kit.server.members("vip"), []);
        const again = client.join("vip");
        assert.notEqual(again, refused);
        await kit.server.advance();
        assert.equal(again.state, "open");
    });
});

describe("a new connection", () => {
    test("rejoins all rooms with their listeners", async () => {
        const kit = setUp();
        const [a] = await kit.inRoom("lobby");
        const { client, room } = a;
        const other = client.join("other");
        const logs = [room, other, client.root].map((each) => record(each, "open", "reopen", "close"));
        const heard = record(room, "chat");
        await kit.server.advance();
        for (let n = 0; n < 3; n++) {
            await cutAndReturn(kit.server);
        }
        const again = [1, 2, 3].map((n) => ["reopen", nthId(n)]);
        assert.deepEqual(logs, [again, [["open"], ...again], again]);
        kit.server.broadcast("lobby", "chat", { n: 1 });
        await kit.server.advance();
        assert.deepEqual(heard, [["chat", { n: 1 }, "", false]]);
        assert.deepEqual([client.id, room.id, room.members()], [nthId(4), nthId(4), [nthId(4)]]);
    });

    test("keeps the last members until their difference is emitted", async () => {
        const kit = setUp();
        const [a, b, c] = await kit.inRoom("lobby", 3);
        kit.server.connections()[0].cut();
        assert.deepEqual([a.room.state, a.room.members()], ["joining", [nthId(1), nthId(2), nthId(3)]]);
        b.room.leave();
        const d = kit.connect();
        d.client.join("lobby");
        await kit.server.advance();
        const log = record(a.room, ...LIFE);
        const shown = new Set(a.room.members());
        a.room.on("new_member", (id) => shown.add(id));
        a.room.on("member_left", (id) => shown.delete(id));
        a.room.on("reopen", (previousId) => shown.delete(previousId) && shown.add(a.room.id));
        await kit.server.advance(1_000);
        assert.deepEqual(short(log), [["member_left", nthId(2)], ["new_member", nthId(4)], ["reopen", nthId(1)]]);
        assert.deepEqual([...shown], [nthId(3), nthId(4), nthId(5)]);
        assert.deepEqual(a.room.members(), [nthId(3), nthId(4), nthId(5)]);
        assert.equal(c.room.state, "open");
    });

    test("replaces client.root after a kick", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const [first, conn] = [client.root, () => kit.server.connections()[0]];
        await kit.server.advance();
        conn().kick("root");
        await kit.server.advance();
        assert.deepEqual([client.root, first.state], [first, "closed"]);
        const again = client.join("root");
        await kit.server.advance();
        assert.deepEqual([client.root, again.state], [again, "open"]);
        await kit.server.advance(5_000);
        conn().move("root", "root");
        await kit.server.advance();
        assert.deepEqual([client.root.state, client.root === again, client.rooms()], ["open", false, [client.root]]);
    });

    test("does not rejoin rooms that were left, root included", async () => {
        const kit = setUp();
        const [{ client, room }] = await kit.inRoom("lobby");
        room.leave();
        client.root.leave();
        await kit.server.advance();
        const log = record(client.root, ...LIFE);
        await cutAndReturn(kit.server);
        assert.deepEqual([kit.server.connections()[0].rooms(), log, client.rooms()], [[], [], []]);
        const root = client.join("root");
        await kit.server.advance();
        assert.deepEqual([root.state, kit.server.members("root")], ["open", [client.id]]);
    });

    test("a room left while offline closes immediately", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        kit.server.cut();
        const log = record(room, ...LIFE);
        room.send("chat", "never");
        await room.leave();
        assert.deepEqual(log, [["close", undefined]]);
        await kit.server.advance(1_000);
        assert.deepEqual(kit.server.members("lobby"), []);
    });
});

describe("leave", () => {
    test("closes on confirmation, and messages are received until then", async () => {
        const kit = setUp({ latency: 10 });
        const [a, b] = await kit.inRoom("lobby", 2);
        await kit.server.advance(100);
        const log = record(a.room, "chat", "close", "member_left");
        b.room.send("chat", 1);
        const left = a.room.leave();
        assert.equal(a.room.state, "leaving");
        assert.equal(a.room.leave(), left);
        assert.throws(() => a.room.send("chat", 2), code("closed"));
        await kit.server.advance(100);
        await left;
        assert.deepEqual(log, [["chat", 1, b.client.id, false], ["close", undefined]]);
        assert.deepEqual([a.room.state, a.room.leave()], ["closed", left]);
        assert.throws(() => a.room.send("chat", 2), code("closed"));
    });

    test("then join in the same turn is invisible to others", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2);
        const logs = [a, b].map(({ room }) => record(room, ...LIFE));
        const left = a.room.leave();
        assert.equal(a.client.join("lobby"), a.room);
        assert.equal(a.room.state, "open");
        await left;
        await kit.server.advance();
        assert.deepEqual([logs, a.room.state, kit.server.members("lobby")], [[[], []], "open", [a.client.id, b.client.id]]);
    });

    test("then join in a later turn is a new room, repeatedly", async () => {
        const kit = setUp();
        const [{ client, room }] = await kit.inRoom("lobby");
        const rooms = [room];
        for (let n = 0; n < 5; n++) {
            rooms.at(-1).leave();
            await null;
            rooms.push(client.join("lobby"));
            if (n === 2) {
                await kit.server.advance();
            }
        }
        const logs = rooms.map((each) => record(each, ...LIFE));
        await kit.server.advance();
        assert.equal(new Set(rooms).size, 6);
        assert.deepEqual(rooms.map(({ state }) => state), ["closed", "closed", "closed", "closed", "closed", "open"]);
        assert.deepEqual(logs.map((log) => log.map(([event]) => event)), [[], [], [], ["close"], ["close"], ["open"]]);
        assert.deepEqual(kit.server.members("lobby"), [client.id]);
    });

    test("answers match their room after a refused join is left and repeated", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        await kit.server.advance();
        let asked = 0;
        kit.server.allow({ join: () => ++asked > 1 });
        const first = client.join("vip");
        first.leave();
        await null;
        const second = client.join("vip");
        await kit.server.advance();
        assert.deepEqual([first.state, second.state, kit.server.members("vip")], ["closed", "open", [client.id]]);
    });

    test("a connection lost in between closes the old room and opens the new", async () => {
        const kit = setUp({ latency: 10 });
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(100);
        const left = room.leave();
        await null;
        const again = client.join("lobby");
        kit.server.cut();
        await left;
        assert.equal(room.state, "closed");
        await kit.server.advance(1_000);
        assert.equal(again.state, "open");
    });

    test("join in the close listener works", async () => {
        const kit = setUp();
        const [{ client, room }] = await kit.inRoom("lobby");
        let again;
        room.on("close", () => (again = client.join("lobby")));
        room.leave();
        await kit.server.advance();
        assert.notEqual(again, room);
        assert.equal(again.state, "open");
    });
});

describe("commands of the server", () => {
    test("a kick closes the room with a reason, without rejoin", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const log = record(room, ...LIFE);
        kit.server.connections()[0].kick("lobby");
        await kit.server.advance();
        assert.deepEqual(log.map(([event, error]) => [event, error.code]), [["close", "removed"]]);
        await cutAndReturn(kit.server);
        assert.deepEqual(kit.server.members("lobby"), []);
    });

    test("a server-side join is emitted before the room opens", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        await kit.server.advance();
        const log = [];
        client.on("room", (room) => {
            log.push(["room", room.name, room.state]);
            room.on("open", () => log.push(["open", room.members()]));
        });
        kit.server.connections()[0].join("table 7");
        await kit.server.advance();
        assert.deepEqual(log, [["room", "table 7", "joining"], ["open", [client.id]]]);
        assert.equal(client.join("table 7").state, "open");
    });
});

describe("members", () => {
    test("join and leave once each; members() is a copy, memberSet is live", async () => {
        const kit = setUp();
        const [a] = await kit.inRoom("lobby");
        const { memberSet } = a.room;
        const copy = a.room.members();
        const log = record(a.room, "new_member", "member_left");
        const [b] = await kit.inRoom("lobby");
        assert.deepEqual([[...memberSet], memberSet.size, memberSet.has(b.client.id), copy.length], [[a.client.id, b.client.id], 2, true, 1]);
        b.client.close();
        await kit.server.advance();
        await cutAndReturn(kit.server);
        assert.equal(a.room.memberSet, memberSet);
        assert.deepEqual([[...memberSet], memberSet.has(b.client.id)], [[a.client.id], false]);
        assert.deepEqual(short(log).slice(0, 2), [["new_member", nthId(2)], ["member_left", nthId(2)]]);
        assert.equal(memberSet.add, undefined);
    });

    test("of an invalid snapshot are empty, and invalid ids are skipped", async () => {
        for (const [payload, expected] of [["", []], ["nonsense", []], ["{}", []], ["null", []], ["5", []], ['"ids"', []], ['["a",1,null,{},[],[1],"c"]', ["a", "c"]], ['{"members":[["a"],null,5,{},[],[null],["c",1]]}', ["a", "c"]]]) {
            const kit = setUp();
            const [{ room, errors }] = await kit.inRoom("lobby");
            const [conn] = kit.server.connections();
            conn.deliver(encode("lobby", "join_ack", "", conn.id, toBytes(payload)));
            await kit.server.advance();
            assert.deepEqual([room.state, room.members(), errors], ["open", expected, []]);
        }
    });

    test("that join twice or leave twice are emitted once", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const log = record(room, ...LIFE);
        const [conn] = kit.server.connections();
        for (const [event, id] of [["new_member", "b"], ["new_member", "b"], ["member_left", "stranger"], ["member_left", "b"], ["member_left", "b"]]) {
            conn.deliver(encode("lobby", event, "", "", toBytes(id)));
        }
        // Makes the server send another join_ack, as it does after a repeated join.
        conn.join("lobby");
        await kit.server.advance();
        assert.deepEqual(short(log), [["new_member", "b"], ["member_left", "b"]]);
    });

    test("of rooms with 10,000 and 200,000 arrive completely and change incrementally", async () => {
        for (const count of [10_000, 200_000]) {
            const kit = setUp();
            const [{ room, errors }] = await kit.inRoom("lobby");
            const ids = Array.from({ length: count }, (_, n) => nthId(n + 100));
            const [conn] = kit.server.connections();
            conn.deliver(encode("lobby", "join_ack", "", conn.id, toBytes(JSON.stringify([conn.id, ...ids]))));
            conn.deliver(encode("lobby", "member_left", "", "", toBytes(ids[5])));
            await kit.server.advance();
            assert.deepEqual([room.memberSet.size, room.members().at(-1), room.memberSet.has(ids[5]), errors], [count, ids.at(-1), false, []]);
        }
    });
});
