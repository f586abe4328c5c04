/** Tests of the test kit: mistakes in the application and in the test itself are reported as errors. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { RoomerError } from "../src/index.js";
import { createClock, createServer } from "../src/testkit/index.js";
import { code, setUp } from "./support/kit.js";

const boom = () => {
    throw new Error("boom");
};
const boomLater = async () => boom();

/** Connects a client with a session that joins a room. */
async function enter(settings) {
    const kit = setUp({ plain: false, ...settings });
    const [{ client, room, life, errors }] = await kit.inRoom("lobby");
    life.length = 0;
    return { ...kit, client, room, errors, states: () => life.splice(0).map(([, state]) => state) };
}

/** Returns a function that returns the message of the error with which the request has failed, if it has. */
function failure(promise) {
    let message;
    promise.catch((error) => (message = error.message));
    return () => message;
}

describe("an error of the application", () => {
    for (const [how, handler] of Object.entries({ "at once": boom, later: boomLater })) {
        test(`a handler of messages that fails ${how} closes the connection, and advance() throws`, async () => {
            const { server, room, states } = await enter();
            server.handle("save", handler);
            room.send("save");
            await assert.rejects(server.advance(), /^Error: boom$/);
            assert.deepEqual([states(), server.errors().map(String)], [["suspended"], ["Error: boom"]]);
            await server.advance(2_000);
            assert.deepEqual(states(), ["connecting", "open"]);
        });

        test(`a handler of requests that fails ${how} answers "failed", and advance() throws`, async () => {
            const { server, room, states } = await enter();
            server.onRequest("save", handler);
            const told = failure(room.request("save"));
            await assert.rejects(server.advance(), /^Error: boom$/);
            await server.advance();
            assert.deepEqual([told(), states()], ["answer: failed: the handler has failed", []]);
        });
    }

    test("one thrown after the last timer is rethrown by the next advance()", async () => {
        const { server, room } = await enter();
        let fail;
        server.handle("save", () => new Promise((_, reject) => (fail = reject)));
        room.send("save");
        await server.advance();
        fail(new Error("boom"));
        await assert.rejects(server.advance(), /^Error: boom$/);
    });

    test("a RoomerError in a request handler is an answer, not a failure", async () => {
        const { server, room } = await enter();
        server.onRequest("save", () => {
            throw new RoomerError("taken", "that name is taken");
        });
        const told = failure(room.request("save"));
        await server.advance();
        assert.deepEqual([told(), server.errors()], ["answer: taken: that name is taken", []]);
    });

    test("a rule that fails closes the connection, or rejects it, and advance() throws", async () => {
        const { server, client, states, connect } = await enter();
        server.allow({ join: boom });
        client.join("vip");
        await assert.rejects(server.advance(), /^Error: boom$/);
        assert.deepEqual([states(), server.members("vip")], [["suspended"], []]);
        server.allow({ join: () => true, connect: boom });
        const { life } = connect();
        await assert.rejects(server.advance(), /^Error: boom$/);
        assert.deepEqual(life.map(([, state]) => state), ["suspended"]);
    });

    test("is only recorded if the test expects errors", async () => {
        const { server, room, client, states } = await enter();
        server.allowErrors();
        server.handle("save", boomLater);
        server.onRequest("ask", boom);
        const told = failure(room.request("ask"));
        await server.advance();
        room.send("save");
        await server.advance(2_000);
        server.allow({ join: boom });
        client.join("vip");
        await server.advance();
        assert.deepEqual([told(), states(), server.errors().map(String)], ["answer: failed: the handler has failed", ["suspended", "connecting", "open", "suspended"], Array(3).fill("Error: boom")]);
    });
});

describe("a rule", () => {
    for (const [name, verdict, told] of [
        ["join", Promise.resolve(false), /"join" must return true or false, not a promise: rules are not asynchronous/],
        ["join", undefined, /"join" must return true or false, not undefined/],
        ["connect", Promise.resolve(false), /"connect" must return true, false or \{ info, user \}, not a promise/],
        ["connect", null, /not null/],
        ["connect", 1, /not 1/],
        ["connect", { name: "Ann" }, /no option "name"/],
        ["connect", { user: 7 }, /must return a string as the user/],
        ["setInfo", "yes", /"setInfo" must return true or false, not yes/]
    ]) {
        test(`${name} that returns ${verdict instanceof Promise ? "a promise" : JSON.stringify(verdict)} permits nothing, and advance() throws`, async () => {
            const { server, client, connect } = await enter();
            server.allow({ [name]: () => verdict });
            name === "join" && client.join("vip");
            name === "connect" && connect();
            name === "setInfo" && client.setInfo({});
            await assert.rejects(server.advance(), (error) => code("argument")(error) && told.test(error.message));
            assert.deepEqual([server.members("vip"), server.connections().length], [[], name === "connect" ? 1 : 0]);
        });
    }

    test("whose promise rejects is reported once", async () => {
        const { server, client } = await enter();
        server.allow({ join: boomLater });
        client.join("vip");
        await assert.rejects(server.advance(), /a promise/);
        await server.advance();
        assert.equal(server.errors().length, 1);
    });
});

describe("arguments of a test", () => {
    for (const [settings, told] of [
        [{ latncy: 1 }, 'no option "latncy"'],
        [null, "the settings must be an object"],
        [{ latency: -5 }, '"latency" must be a number from 0'],
        [{ latency: "5" }, '"latency" must be a number from 0'],
        [{ clock: {} }, '"clock.now" must be a function'],
        [{ messageRate: 10 }, '"messageRate" must be a rate: { perSecond, burst }'],
        [{ messageRate: 0 }, '"messageRate" must be a rate: { perSecond, burst }'],
        [{ joinRate: null }, '"joinRate" must be a rate: { perSecond, burst }'],
        [{ joinRate: {} }, '"joinRate.perSecond" must be a number'],
        [{ messageRate: { perSecond: 0 } }, '"messageRate.perSecond" must be a number'],
        [{ messageRate: { perSecond: 5, burst: 0.5 } }, '"messageRate.burst" must be a number from 1'],
        [{ byteRate: 1_000 }, '"byteRate" must be a rate: { perSecond, burst }'],
        [{ byteRate: { perSecond: 1e9, most: 1 } }, 'no option "most"'],
        [{ byteRate: { perSecond: 1e9, burst: 1_000 } }, '"byteRate.burst" (1000) must not be below "maxMessage" (16777216)'],
        [{ byteRate: { perSecond: 10 }, maxMessage: 11 }, '"byteRate.burst" (10) must not be below "maxMessage" (11)'],
        [{ violationRate: { per_second: 1 } }, 'no option "per_second"'],
        [{ presence: "count" }, '"presence" must be a function'],
        [{ presence: () => "cout" }, '"presence" must return one of "full", "count", "off"'],
        [{ history: -1 }, '"history" must be an integer from 0'],
        [{ plain: 1 }, '"plain" must be true or false'],
        [{ resumeWindow: NaN }, '"resumeWindow" must be a number from 0'],
        [{ resumeBuffer: 0.5 }, '"resumeBuffer" must be an integer from 0'],
        [{ retryWindow: -1 }, '"retryWindow" must be a number from 0'],
        [{ maxName: 0 }, '"maxName" must be an integer from 1'],
        [{ maxRooms: "1" }, '"maxRooms" must be an integer from 1'],
        [{ maxRequests: 0.5 }, '"maxRequests" must be an integer from 0'],
        [{ maxMessage: null }, '"maxMessage" must be an integer from 1']
    ]) {
        test(`createServer(${settings?.presence ? settings.presence : JSON.stringify(settings)}) is an error`, async () => {
            const run = async () => {
                const server = createServer(settings);
                new server.options.WebSocket("ws://test/ws");
                await server.advance();
            };
            await assert.rejects(run(), (error) => code("argument")(error) && error.message.includes(told));
        });
    }

    test("wrong arguments of methods are errors", async () => {
        const { server } = await enter();
        const [conn] = server.connections();
        for (const [call, told] of [
            [() => server.handle("save"), /"handler" must be a function/],
            [() => server.handle("join", boom), /"join" belongs to the protocol/],
            [() => server.handle("roomer:info", boom), /belongs to the protocol/],
            [() => server.onRequest(undefined, boom), /the event must be a string/],
            [() => server.onRequest("ask", {}), /"handler" must be a function/],
            [() => server.allow({ jion: () => true }), /there is no rule "jion"/],
            [() => server.allow({ join: true }), /"join" must be a function/],
            [() => server.advance(-1), /milliseconds/],
            [() => server.advance(NaN), /milliseconds/],
            [() => server.sleep("5"), /milliseconds/],
            [() => server.stop(99), /99 is not a close code/],
            [() => conn.close("1000"), /1000 is not a close code/],
            [() => conn.expiring(-1), /"milliseconds" must be a number from 0/],
            [() => conn.request("lobby", "ask", "", { timout: 5 }), /no option "timout"/],
            [() => conn.request("lobby", "ask", "", { timeout: -5 }), /"timeout" must be a number from 0/],
            [() => createClock({ setle: boom }), /no option "setle"/],
            [() => createClock({ settle: 5 }), /"settle" must be a function/]
        ]) {
            await assert.rejects(async () => call(), (error) => code("argument")(error) && told.test(error.message), `${call}`);
        }
        await server.advance();
        assert.deepEqual([server.connections().length, server.errors()], [1, []]);
    });
});

describe("limits", () => {
    test("a room has a name of at most 4,096 bytes, as an event does", async () => {
        const { server, client, room, errors } = await enter();
        const names = ["r".repeat(4096), "r".repeat(4097), "ä".repeat(2048), "ä".repeat(2049)].map((name) => client.join(name));
        room.send("e".repeat(5_000));
        await server.advance();
        assert.deepEqual(names.map(({ state }) => state), ["open", "closed", "open", "closed"]);
        assert.deepEqual([errors.length, errors.map(({ kind }) => kind)], [3, Array(3).fill("invalid")]);
        assert.ok(errors.every(({ message }) => message.includes("the name is too long")));
        assert.deepEqual(errors.map(({ room: name, event }) => [name.length, event.length]).sort(), [[2048, 4], [4096, 4], [5, 4096]].sort());
    });

    test("a client is in at most 1,100 rooms, including root", async () => {
        const { server, client, errors } = await enter({ latency: 0 });
        const rooms = Array.from({ length: 1_200 }, (_, n) => client.join(`r${n}`));
        await server.advance(60_000);
        assert.deepEqual([rooms.filter(({ state }) => state === "open").length, server.connections()[0].rooms().length], [1_098, 1_100]);
        assert.ok(errors.length > 0 && errors.every(({ kind, message }) => kind === "refused" && message.includes("a member of too many rooms")));
    });

    test("are settings with the names of the real server's options", async () => {
        const { server, client, room, errors, states } = await enter({ maxRooms: 3, maxName: 5, maxMessage: 100 });
        const [third, fourth, long] = ["three", "four", "longer"].map((name) => client.join(name));
        const asked = failure(room.request("longer"));
        await server.advance();
        assert.deepEqual([third.state, fourth.state, long.state, errors.length], ["open", "closed", "closed", 2]);
        assert.match(asked(), /invalid: the name is too long/);
        // Joining a room again does not count towards the limit, and joins by the server have the same limits.
        server.connections()[0].join("fifth");
        await server.advance();
        assert.deepEqual([server.members("fifth"), states()], [[], []]);
        // A client with a session knows the limit and throws. The connection of a plain client is closed.
        assert.throws(() => room.send("chat", "x".repeat(100)), code("argument"));
        const plain = await enter({ plain: true, maxMessage: 100 });
        plain.room.send("chat", "x".repeat(100));
        await plain.server.advance();
        assert.deepEqual([plain.states(), server.errors(), plain.server.errors()], [["suspended"], [], []]);
    });

    test("a flooding client is closed", async () => {
        const { server, client, states } = await enter({ maxName: 8, maxRooms: 2, violationRate: { perSecond: 1, burst: 3 } });
        // A client cannot avoid exceeding the limit on rooms, so these joins are not violations.
        ["a", "b", "c", "d", "e"].forEach((name) => client.join(name));
        const join = (count) => Array.from({ length: count }, (_, n) => client.join(`too long ${n}`));
        join(3);
        await server.advance();
        assert.deepEqual(states(), []);
        join(1);
        await server.advance();
        assert.deepEqual(states(), ["closed"]);
    });

    test("info is ignored without a rule", async () => {
        const { server, client, errors } = await enter();
        client.setInfo("x".repeat(2_000));
        await server.advance();
        assert.deepEqual(errors.map(({ message }) => message), ["rejected: refused: clients may not set their info (roomer:info in root)"]);
    });
});
