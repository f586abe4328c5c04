/** Tests of the extended protocol with real servers: requests, members' info, rooms with a history, logins, and errors. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import * as core from "../src/core.js";
import { RoomerError, connect } from "../src/index.js";
import { encode, toBytes } from "../src/packet.js";
import { createServer } from "../src/testkit/index.js";
import { record } from "./support/kit.js";
import { startProxy } from "./support/proxy.js";
import { RUNTIMES, startServerOn } from "./support/server.js";
import { eventually } from "./support/wait.js";

const EAGER = { minDelay: 5, maxDelay: 10 };

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { timeout: 300_000 }, () => {
        let server;
        before(async () => (server = await startServerOn(runtime, "--trial")));
        after(() => server.stop());

        /** Connects a client whose token is this name. */
        const enter = (t, token, { url = server.url, ...options } = {}) => {
            const client = connect(url, { codec: "json", token, reconnect: EAGER, ...options });
            t.after(() => client.close());
            return client;
        };

        /** Returns the code and kind of a failed request's error. */
        const failure = (request) => request.then(() => assert.fail("answered"), ({ code, kind }) => [code, kind]);

        test("the server answers requests or returns an error", async (t) => {
            const { root } = enter(t);
            assert.deepEqual(await root.request("echo", { x: [1] }), { x: [1] });
            assert.equal(await root.request("echo"), undefined);
            const failures = [root.request("nothing"), root.request("broken"), root.request("taken"), root.request("echo", 1, { to: "00000000-0000-4000-8000-000000000000" }), root.request("echo", 1, { to: "no id" })];
            assert.deepEqual(await Promise.all(failures.map(failure)), ["unknown", "failed", "refused", "gone", "gone"].map((kind) => ["answer", kind]));
        });

        test("limits names and rooms, with the same answers as the server in memory", async (t) => {
            /**
             * Exceeds the limits. Returns the results of joining long names, the number of open rooms, and all errors that the
             * client received.
             */
            async function exceed(client, settle) {
                const errors = [];
                client.on("error", ({ message, room, event }) => errors.push([message.slice(0, 60), room.length, event.length]));
                const join = (name) => client.join(name).opened.then(() => true, ({ code }) => code);
                const names = [join("r".repeat(4096)), join("r".repeat(4097)), join("ä".repeat(2049))];
                client.root.send("e".repeat(5_000), 1);
                await settle(names);
                const told = errors.splice(0);
                const rooms = Array.from({ length: 1_150 }, (_, n) => join(`room ${n}`));
                await settle(rooms);
                const count = (await Promise.all(rooms)).filter((result) => result === true).length;
                return { names: await Promise.all(names), told, count, rooms: [...new Set(errors.map(([message]) => message.replace(/\d.*/, "")))] };
            }
            const memory = createServer();
            const inMemory = await exceed(connect("ws://test/ws", { ...memory.options, codec: "json" }), () => memory.advance(10_000));
            assert.deepEqual([inMemory.names, inMemory.told.length, inMemory.count, inMemory.rooms.length], [[true, "refused", "refused"], 3, 1_098, 1]);
            assert.deepEqual(await exceed(enter(t), (done) => Promise.all(done)), inMemory);
        });

        test("clients answer each other and the server, over lost connections", async (t) => {
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const ann = enter(t, "ann", { url: `ws://127.0.0.1:${proxy.port}/ws` });
            const bob = enter(t, "bob");
            const rooms = [ann, bob].map((client) => client.join("requests"));
            await Promise.all(rooms.map(({ opened }) => opened));
            const { id } = ann;
            let runs = 0;
            bob.root.handle("back", async (payload, from) => [payload, from]);
            rooms[1].handle("double", async (payload, from) => {
                runs++;
                payload % 7 === 0 && proxy.cut();
                await new Promise((resolve) => setTimeout(resolve, 2));
                return { n: payload * 2, from };
            });
            rooms[1].handle("taken", () => {
                throw new RoomerError("taken", "by me");
            });
            const asked = Array.from({ length: 50 }, (_, n) => rooms[0].request("double", n, { to: bob.id, timeout: 60_000 }));
            assert.deepEqual(await Promise.all(asked), Array.from({ length: 50 }, (_, n) => ({ n: n * 2, from: id })));
            assert.deepEqual([runs, ann.id], [50, id]);
            assert.deepEqual(await failure(rooms[0].request("taken", 1, { to: bob.id })), ["answer", "taken"]);
            assert.deepEqual(await bob.root.request("relay", "x"), ["x", ""]);
            const last = failure(rooms[0].request("never", 1, { to: bob.id }));
            assert.deepEqual(await last, ["answer", "unknown"]);
            rooms[1].handle("never", () => new Promise(() => {}));
            const pending = failure(rooms[0].request("never", 1, { to: bob.id }));
            await rooms[0].request("double", 1, { to: bob.id });
            bob.close();
            assert.deepEqual(await pending, ["answer", "gone"]);
        });

        test("a client without sessions uses the plain protocol and gets a new id", async (t) => {
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const bare = core.connect(`ws://127.0.0.1:${proxy.port}/ws`, { codec: core.json, reconnect: EAGER, features: [core.requests] });
            t.after(() => bare.close());
            const ann = enter(t, "ann");
            const rooms = [bare, ann].map((client) => client.join("plain"));
            await Promise.all(rooms.map(({ opened }) => opened));
            const [plain, extended] = rooms.map((room) => record(room, "chat"));
            const log = record(rooms[0], "reopen");
            const { id } = bare;
            assert.deepEqual(await failure(bare.root.request("echo", 1)), ["plain", undefined]);
            proxy.cut();
            await eventually("the plain client is back", () => log.length === 1 && rooms[1].memberSet.has(bare.id));
            assert.deepEqual([log, bare.id === id, rooms[0].member(ann.id).info], [[["reopen", id]], false, null]);
            rooms[0].send("chat", 1);
            rooms[1].send("chat", 2, bare.id);
            await eventually("both messages", () => plain.length + extended.length === 2);
            assert.deepEqual([plain, extended], [[["chat", 2, ann.id, true]], [["chat", 1, bare.id, false, 1]]]);
        });

        test("members have the user and info of their login, and may change info", async (t) => {
            const ann = enter(t, "ann");
            const room = ann.join("members");
            await room.opened;
            const log = record(room, "new_member", "member_changed", "member_left");
            const errors = record(ann, "error");
            const bob = enter(t, "bob");
            const other = bob.join("members");
            await other.opened;
            assert.deepEqual(other.members().map((id) => other.member(id)), [{ id: ann.id, info: "ann", user: "ann" }, { id: bob.id, info: "bob", user: "bob" }]);
            bob.setInfo({ name: "Bob" });
            ann.setInfo("forbidden");
            ann.setInfo(["Ann"]);
            await eventually("both have changed", () => other.member(ann.id).info[0] === "Ann" && room.member(bob.id).info.name === "Bob");
            await eventually("the refusal is known", () => errors.length > 0);
            assert.deepEqual([errors[0][1].code, errors[0][1].kind, errors[0][1].event], ["rejected", "refused", "roomer:info"]);
            bob.close();
            await eventually("bob is gone", () => log.some(([event]) => event === "member_left"));
            const ofBob = log.filter(([, id]) => id !== ann.id).map(([event, , { info }]) => [event, info]);
            assert.deepEqual(ofBob, [["new_member", "bob"], ["member_changed", { name: "Bob" }], ["member_left", { name: "Bob" }]]);
            assert.deepEqual(log.filter(([, id]) => id === ann.id).map(([event, , { info }]) => [event, info]), [["member_changed", ["Ann"]]]);
        });

        test("refused packets are errors", async (t) => {
            const { root, ...ann } = enter(t, "ann");
            await root.opened;
            const errors = record(ann, "error");
            root.send("x", 1, "00000000-0000-4000-8000-000000000000");
            await eventually("the error is there", () => errors.length > 0);
            const [[, { code, kind, room, event, remedy }]] = errors;
            assert.deepEqual([code, kind, room, event, typeof remedy], ["rejected", "gone", "root", "x", "string"]);
        });

        test("a login is renewed each time it expires", async (t) => {
            let calls = 0;
            // The server requests a renewal of a short login after half of its time, and then every two seconds at most. The
            // rest of the time allows for a server or client that a busy machine does not run for a while.
            const ann = enter(t, () => (calls++ < 3 ? "ann@8000" : "ann"));
            const states = record(ann, "state");
            // Another user's token does not renew the login, so the login ends, and the client reconnects with its next token.
            const tokens = [];
            const bob = enter(t, () => {
                tokens.push(!tokens.length ? "bob@8000" : bob.state === "open" ? "eve" : "bob");
                return tokens.at(-1);
            });
            const ofBob = record(bob, "state");
            await eventually("it was renewed", () => calls > 3);
            await ann.root.request("echo", 1);
            assert.deepEqual(states.map(([, state]) => state), ["open"]);
            // The server does not request a token from a plain client, so this login ends, and the client has no other token.
            const plain = core.connect(server.url, { token: "bob@100", reconnect: EAGER });
            t.after(() => plain.close());
            for (const [client, log, last] of [[bob, ofBob, "open"], [plain, record(plain, "state"), "closed"]]) {
                await eventually("it has ended", () => log.some(([, , error]) => error?.reason === "login expired"));
                await eventually(`it is ${last}`, () => client.state === last);
            }
            assert.deepEqual([...new Set(tokens)], ["bob@8000", "eve", "bob"]);
            // In the four seconds before the login ends, there is a request every two seconds at most.
            assert.ok(tokens.length < 8, `${tokens}`);
        });
    });

    test(`${runtime} never receives a message above the limit that it has announced`, { timeout: 300_000 }, async (t) => {
        const server = await startServerOn(runtime, "--max-message", "2000");
        t.after(() => server.stop());
        const client = connect(server.url, { codec: "json", reconnect: EAGER });
        t.after(() => client.close());
        const lost = record(client, "lost", "state");
        const { root } = client;
        root.send("early", "x".repeat(2_000));
        await root.opened;
        const { id } = client;
        const length = 2_000 - encode("root", "late", "", "", toBytes('""')).length;
        root.send("late", "x".repeat(length));
        assert.throws(() => root.send("late", "x".repeat(length + 1)), { code: "argument" });
        assert.equal(await root.sent, true);
        assert.deepEqual(lost.map(([, what]) => what.reason ?? what), ["open", "too_large"]);
        assert.equal(client.id, id);
    });

    describe(`without sessions on ${runtime}`, { timeout: 300_000 }, () => {
        test("a reconnected client gets missed messages once in order, or is notified of a gap", async (t) => {
            const server = await startServerOn(runtime, "--trial", "--resume-window", "0");
            t.after(() => server.stop());
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const [near, far] = [`ws://127.0.0.1:${proxy.port}/ws`, server.url].map((url) => {
                const client = connect(url, { codec: "json", reconnect: EAGER });
                t.after(() => client.close());
                return client;
            });
            const other = far.join("remembered");
            await other.opened;
            let sent = 0;
            const say = async (count) => {
                for (; count; count--) {
                    other.send("n", ++sent);
                }
                assert.equal(await other.sent, true);
            };
            await say(5);
            const room = near.join("remembered", { history: 3 });
            const log = [];
            room.on("n", (n, from, direct, number) => log.push(n === number ? n : [n, number]));
            room.on("reopen", () => log.push("reopen"));
            room.on("history_lost", () => log.push("lost"));
            await eventually("the last three are there", () => log.length === 3);
            for (let round = 0; round < 5; round++) {
                proxy.drop();
                await say(2 + round);
                proxy.resume();
                await eventually("the client is back and has all", () => log.at(-1) === sent && log.filter((each) => each === "reopen").length === round + 1);
            }
            assert.deepEqual(log.filter((each) => each !== "reopen"), Array.from({ length: sent - 2 }, (_, n) => n + 3));
            assert.equal(room.history.recovered, true);
            proxy.drop();
            await say(15);
            log.length = 0;
            proxy.resume();
            await eventually("the last ones are there", () => log.at(-1) === sent);
            assert.deepEqual(log, ["lost", "reopen", sent - 2, sent - 1, sent]);
        });
    });
}
