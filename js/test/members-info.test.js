/** Tests of members with info: the list is always right, and each change is reported by an event. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ERROR, INFO } from "../src/limits.js";
import { encode, toBytes } from "../src/packet.js";
import { nthId, record, setUp } from "./support/kit.js";
import { connOf, enter } from "./support/session.js";

const CHANGES = ["new_member", "member_left", "member_changed"];

/** Starts a server that uses a client's token as its user and as the name in its info, which the client may change. */
function setUpNamed(settings) {
    const kit = setUp({ plain: false, ...settings });
    kit.server.allow({ connect: (url, token) => (token ? { user: token, info: { name: token } } : true), setInfo: (conn, info) => info !== "forbidden" });
    return kit;
}

/** Joins clients with these names to a room, one after another. */
async function inRoom(kit, ...names) {
    const entered = [];
    for (const token of names) {
        entered.push(...(await kit.inRoom("lobby", 1, { token })));
    }
    return entered;
}

describe("members", () => {
    test("have info and user, which events contain", async () => {
        const kit = setUpNamed();
        const [ann] = await inRoom(kit, "ann");
        const log = record(ann.room, ...CHANGES);
        const [bob, cat] = await inRoom(kit, "bob", undefined);
        const expected = [{ id: nthId(1), info: { name: "ann" }, user: "ann" }, { id: nthId(2), info: { name: "bob" }, user: "bob" }, { id: nthId(3), info: null, user: undefined }];
        for (const { room } of [ann, bob, cat]) {
            assert.deepEqual(room.members().map((id) => room.member(id)), expected);
            assert.ok(Object.isFrozen(room.member(nthId(1))));
        }
        assert.equal(ann.room.member("nobody"), undefined);
        bob.client.close();
        await kit.server.advance();
        assert.deepEqual(log, [["new_member", nthId(2), expected[1]], ["new_member", nthId(3), expected[2]], ["member_left", nthId(2), expected[1]]]);
    });

    test("change their info, and all are notified once", async () => {
        const kit = setUpNamed();
        const [ann, bob] = await inRoom(kit, "ann", "bob");
        const logs = [ann, bob].map(({ room }) => record(room, ...CHANGES));
        ann.client.setInfo({ name: "Anna" });
        await kit.server.advance();
        connOf(kit, bob.client).setInfo(undefined);
        ann.client.setInfo({ name: "Anna" });
        await kit.server.advance();
        const changes = [["member_changed", nthId(1), { id: nthId(1), info: { name: "Anna" }, user: "ann" }], ["member_changed", nthId(2), { id: nthId(2), info: null, user: "bob" }]];
        assert.deepEqual(logs, [changes, changes]);
        assert.deepEqual([ann.room.member(nthId(1)), bob.room.member(nthId(2))], [changes[0][2], changes[1][2]]);
    });

    test("are diffed when a new session begins", async () => {
        const kit = setUpNamed();
        const [ann, bob] = await inRoom(kit, "ann", "bob");
        const log = record(ann.room, ...CHANGES, "reopen");
        const [conn] = kit.server.connections();
        conn.cut();
        conn.expire();
        bob.client.setInfo([1]);
        await kit.server.advance(1_000);
        assert.deepEqual(log, [["member_changed", nthId(2), { id: nthId(2), info: [1], user: "bob" }], ["reopen", nthId(1)]]);
    });

    test("do not leave and rejoin when a session resumes", async () => {
        const kit = setUpNamed({ latency: 10 });
        const [ann, bob] = await inRoom(kit, "ann", "bob");
        await kit.server.advance(100);
        const log = record(ann.room, ...CHANGES, "reopen");
        kit.server.cut();
        bob.client.setInfo("Bob");
        await kit.server.advance(1_000);
        assert.deepEqual(log, [["member_changed", nthId(2), { id: nthId(2), info: "Bob", user: "bob" }]]);
        assert.equal(ann.client.id, nthId(1));
    });

    test("are only the client itself in a room without presence", async () => {
        const kit = setUpNamed({ presence: (room) => (room === "lobby" ? "off" : "count") });
        const [ann] = await inRoom(kit, "ann", "bob");
        const log = record(ann.room, ...CHANGES);
        ann.client.setInfo(1);
        await kit.server.advance();
        assert.deepEqual([ann.room.members(), log], [[nthId(1)], [["member_changed", nthId(1), { id: nthId(1), info: 1, user: "ann" }]]]);
        assert.deepEqual([ann.client.root.count, ann.client.root.member(nthId(1))], [2, undefined]);
    });

    test("of a plain server have no info, and setInfo() does nothing there", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2);
        a.client.setInfo({ name: "a" });
        await kit.server.advance(10_000);
        assert.deepEqual(b.room.member(a.client.id), { id: a.client.id, info: null, user: undefined });
        assert.deepEqual([a.errors, a.client.state], [[], "open"]);
    });

    test("with malformed entries are skipped", async () => {
        const world = await enter(2);
        const { server, room, errors, other } = world;
        const conn = connOf(world, room);
        const log = record(room, ...CHANGES);
        for (const text of ['{"joined":[null,5,[],[null],["x"]],"left":[null,5],"changed":[null]}', '{"changed":[["x",{"n":1}],5]}', "null", "[]", "nonsense", '{"joined":5}', '{"left":{}}']) {
            conn.deliver(encode("lobby", "roomer:members", "", "", toBytes(text)));
        }
        await server.advance(100);
        const x = (info) => ({ id: "x", info, user: undefined });
        assert.deepEqual(log, [["new_member", "x", x(null)], ["member_changed", "x", x({ n: 1 })]]);
        assert.deepEqual(room.members(), [room.id, other.room.id, "x"]);
        assert.deepEqual(errors.map((error) => error.code), ["payload", "payload", "payload", "payload"]);
    });
});

describe("members that are away", () => {
    const member = (info, more) => ({ id: nthId(2), info, user: "bob", ...more });
    const away = { away: true };

    /** Returns two clients in a room that announces lost connections, and a log of the changes that the first client receives. */
    async function enterBoth() {
        const kit = setUpNamed({ announceAway: (room) => room === "lobby" });
        const [ann, bob] = await inRoom(kit, "ann", "bob");
        return { kit, ann, bob, log: record(ann.room, ...CHANGES, "reopen"), conn: connOf(kit, bob.client) };
    }

    /** Cuts a client's connection, and prevents the client from reconnecting. */
    async function keepAway({ kit, conn }) {
        kit.server.allow({ connect: (url, token) => token !== "bob" });
        conn.cut();
        await kit.server.advance();
    }

    test("are marked until they return, even if their info changes", async () => {
        const { kit, ann, bob, log, conn } = await enterBoth();
        const roots = record(ann.client.root, ...CHANGES);
        conn.cut();
        conn.setInfo(7);
        await kit.server.advance();
        assert.ok(Object.isFrozen(ann.room.member(nthId(2))));
        await kit.server.advance(2_000);
        assert.deepEqual(log, [member({ name: "bob" }, away), member(7, away), member(7)].map((each) => ["member_changed", nthId(2), each]));
        assert.deepEqual(roots, [["member_changed", nthId(2), member(7)]], "root does not announce it");
        assert.deepEqual([bob.room.member(nthId(2)), bob.client.id], [member(7), nthId(2)]);
    });

    test("are marked for newcomers", async () => {
        const world = await enterBoth();
        await keepAway(world);
        const [cat] = await world.kit.inRoom("lobby", 1);
        assert.deepEqual(cat.room.member(nthId(2)), member({ name: "bob" }, away));
        world.conn.expire();
        const of = world.log.filter(([, id]) => id === nthId(2));
        await world.kit.server.advance();
        const left = world.log.filter(([, id]) => id === nthId(2)).slice(of.length);
        assert.deepEqual([of, left], [[["member_changed", nthId(2), member({ name: "bob" }, away)]], [["member_left", nthId(2), member({ name: "bob" }, away)]]]);
    });

    test("are marked in a room that the server joins them to", async () => {
        const kit = setUpNamed({ announceAway: () => true });
        const [ann] = await inRoom(kit, "ann");
        const [bob] = await kit.inRoom("elsewhere", 1, { token: "bob" });
        const log = record(ann.room, ...CHANGES);
        const conn = connOf(kit, bob.client);
        conn.cut();
        await kit.server.advance();
        conn.join("lobby");
        await kit.server.advance(2_000);
        assert.deepEqual(log, [["new_member", nthId(2), member({ name: "bob" }, away)], ["member_changed", nthId(2), member({ name: "bob" })]]);
        assert.deepEqual(bob.client.rooms().map((room) => room.member(nthId(2)).away), [undefined, undefined, undefined]);
    });

    test("are diffed when a new session begins", async () => {
        const world = await enterBoth();
        const [conn] = world.kit.server.connections();
        conn.cut();
        conn.expire();
        await keepAway(world);
        await world.kit.server.advance(1_000);
        assert.deepEqual(world.log, [["member_changed", nthId(2), member({ name: "bob" }, away)], ["reopen", nthId(1)]]);
    });

    test("exclude clients changing networks and unknown ids", async () => {
        const { kit, ann, bob, log, conn } = await enterBoth();
        const resumed = record(bob.client, "resumed");
        conn.hang();
        connOf(kit, ann.client).deliver(encode("lobby", "roomer:members", "", "", toBytes('{"away":["x"],"back":["y",null]}')));
        await kit.server.advance(60_000);
        assert.deepEqual([resumed.length, log, ann.errors], [1, [], []]);
    });

    test("are not read from a malformed list", async () => {
        const { kit, ann } = await enterBoth();
        for (const away of [7, "x", {}, [null, 7], null, true]) {
            connOf(kit, ann.client).deliver(encode("lobby", "join_ack", "", ann.client.id, toBytes(JSON.stringify({ members: [[ann.client.id, null], ["x", null]], away }))));
            await kit.server.advance(1_000);
            assert.deepEqual([ann.room.members(), ann.room.member("x").away, ann.errors], [[ann.client.id, "x"], away === "x" || undefined, []], JSON.stringify(away));
        }
    });
});

describe('a room with presence "count"', () => {
    test("emits each change of the count and no members", async () => {
        const kit = setUp({ plain: false, latency: 10, presence: (room) => (room === "lobby" ? "count" : "full") });
        const [ann] = await kit.inRoom("lobby");
        const log = [];
        ["reopen", ...CHANGES].forEach((event) => ann.room.on(event, () => log.push(event)));
        ann.room.on("count_changed", (count) => log.push([count, ann.room.count]));
        const now = () => log.splice(0);
        await kit.server.advance(100);
        assert.deepEqual([now(), ann.room.count], [[], 1]);
        const [bob, cid] = await kit.inRoom("lobby", 2);
        await kit.server.advance(100);
        bob.client.close();
        await kit.server.advance(100);
        assert.deepEqual(now(), [[2, 2], [3, 3], [2, 2]]);
        // The number changes while the client has no socket. First its session continues, then it gets two new sessions: in the
        // first one the number has changed, in the second one it has not.
        connOf(kit, ann.client).cut();
        cid.room.leave();
        await kit.server.advance(5_000);
        assert.deepEqual(now(), [[1, 1]]);
        for (const expected of [[[2, 2], "reopen"], ["reopen"]]) {
            connOf(kit, ann.client).cut();
            kit.server.expire();
            expected.length > 1 && (await kit.inRoom("lobby"));
            await kit.server.advance(5_000);
            assert.deepEqual([now(), ann.errors], [expected, []]);
        }
        // A peer cannot forge the event.
        kit.server.connections()[0].sendToRoom("lobby", "count_changed", "7");
        await kit.server.advance(100);
        assert.deepEqual(now(), []);
    });
});

describe("setInfo()", () => {
    test("applies before connecting, while offline and in each new session", async () => {
        const kit = setUpNamed({ latency: 10 });
        const [bob] = await inRoom(kit, "bob");
        const ann = kit.connect({ token: "ann" });
        const lobby = ann.client.join("lobby");
        ann.client.setInfo("first");
        await kit.server.advance(1_000);
        assert.equal(bob.room.member(ann.client.id).info, "first");
        kit.server.cut();
        ann.client.setInfo("second");
        await kit.server.advance(5_000);
        assert.equal(bob.room.member(ann.client.id).info, "second");
        kit.server.cut();
        kit.server.expire();
        await kit.server.advance(5_000);
        for (const room of [bob.room, lobby]) {
            assert.deepEqual(room.member(ann.client.id), { id: lobby.id, info: "second", user: "ann" });
        }
        ann.client.setInfo();
        await kit.server.advance(1_000);
        assert.equal(bob.room.member(ann.client.id).info, null);
    });

    test("reports an error if a rule or the limit refuses it", async () => {
        const kit = setUpNamed();
        const [{ client, errors }] = await inRoom(kit, "ann");
        client.setInfo("forbidden");
        client.setInfo("x".repeat(2_000));
        await kit.server.advance();
        assert.deepEqual(errors.map(({ code, kind, room: name, event }) => [code, kind, name, event]), ["refused", "invalid"].map((kind) => ["rejected", kind, "root", "roomer:info"]));
    });

    test("above the server's rate sends the newest value later", async () => {
        const kit = setUpNamed();
        const [ann, bob] = await inRoom(kit, "ann", "bob");
        const seen = () => [ann.room, bob.room].map((room) => room.member(ann.client.id).info);
        for (let n = 1; n <= 40; n++) {
            ann.client.setInfo(n);
        }
        await kit.server.advance(1_000);
        assert.deepEqual([seen(), ann.errors], [[40, 40], []]);
        // Imitate a page with a slider, which sends five values per second.
        for (let n = 41; n <= 80; n++) {
            ann.client.setInfo(n);
            await kit.server.advance(200);
        }
        await kit.server.advance(1_000);
        assert.deepEqual([seen(), ann.errors], [[80, 80], []]);
    });

    test("while offline sends only the newest value, before later messages", async () => {
        const kit = setUpNamed();
        const [ann, bob] = await inRoom(kit, "ann", "bob");
        const news = [];
        bob.room.on("member_changed", (id, { info }) => news.push(info));
        bob.room.on("chat", (text) => news.push(text));
        kit.server.connections()[0].cut();
        for (let n = 1; n <= 40; n++) {
            ann.client.setInfo(n);
        }
        ann.room.send("chat", "hello");
        await kit.server.advance(60_000);
        assert.deepEqual([news, ann.errors], [[40, "hello"], []]);
    });

    test("above the server's rate is retried with backoff up to 30 s", async () => {
        const kit = setUpNamed();
        const [ann] = await inRoom(kit, "ann");
        const [conn] = kit.server.connections();
        const start = kit.server.clock.now();
        const busyErrors = () => ann.errors.filter(({ kind }) => kind === "busy");
        const times = [];
        let isBusy = true;
        const busy = () => conn.deliver(encode("root", ERROR, "", "", toBytes(JSON.stringify({ code: "busy", message: "", room: "root", event: INFO }))));
        kit.server.allow({ setInfo: () => times.push(Math.round((kit.server.clock.now() - start) / 1_000)) && (!isBusy || (busy(), false)) });
        ann.client.setInfo("new");
        await kit.server.advance(120_000);
        assert.deepEqual([times.splice(0), busyErrors()], [[0, 1, 3, 7, 15, 31, 61, 91], []]);
        isBusy = false;
        await kit.server.advance(10_000);
        assert.equal(conn.info, "new");
        // Once the server has accepted the info, the pauses are short again.
        isBusy = true;
        ann.client.setInfo("newer");
        await kit.server.advance(8_000);
        assert.deepEqual(times.map((time) => time - times[1]), [-9, 0, 1, 3, 7]);
    });

    test("is sent again after an error that counts other packets only until it is acknowledged", async () => {
        const kit = setUpNamed();
        const [ann] = await inRoom(kit, "ann");
        const [conn] = kit.server.connections();
        const infos = [];
        kit.server.allow({ setInfo: (_, info) => infos.push(info) && true });
        const refused = () => conn.deliver(encode("root", ERROR, "", "", toBytes(JSON.stringify({ code: "refused", message: "", room: "root", event: "chat", more: 3 }))));
        ann.client.setInfo("first");
        refused();
        await kit.server.advance(2_000);
        assert.deepEqual(infos.splice(0), ["first", "first"]);
        await kit.server.advance(10_000);
        for (let n = 0; n < 20; n++) {
            refused();
            await kit.server.advance(250);
        }
        ann.client.setInfo("second");
        await kit.server.advance(100);
        assert.deepEqual([infos, conn.info], [["second"], "second"]);
    });

    test("above the server's rate is retried until accepted, also in a new session", async () => {
        const kit = setUpNamed();
        const [ann] = await inRoom(kit, "ann");
        const [conn] = kit.server.connections();
        let accepted = 0;
        const busy = () => conn.deliver(encode("root", ERROR, "", "", toBytes(JSON.stringify({ code: "busy", message: "", room: "root", event: INFO }))));
        kit.server.allow({ setInfo: () => ++accepted > 3 || (busy(), false) });
        ann.client.setInfo("new");
        await kit.server.advance(10_000);
        assert.deepEqual([conn.info, accepted, ann.errors.filter(({ kind }) => kind === "busy")], ["new", 4, []]);
        // After the client is closed, none of its timers fires.
        for (let n = 0; n < 40; n++) {
            ann.client.setInfo(n);
        }
        kit.server.cut();
        kit.server.expire();
        await kit.server.advance(1_000);
        assert.equal(kit.server.connections()[0].info, 39);
        for (let n = 0; n < 40; n++) {
            ann.client.setInfo(n);
        }
        ann.client.close();
        await kit.server.advance();
        assert.equal(kit.server.clock.pending(), 0);
    });
});
