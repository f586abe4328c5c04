/** Tests of wrong arguments: each call throws immediately, with an error that describes the mistake. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as core from "../src/core.js";
import { connect } from "../src/index.js";
import { createClock } from "../src/testkit/index.js";
import { code, record, setUp } from "./support/kit.js";
import { enter } from "./support/session.js";

/** Returns a predicate for an `argument` error with this text. */
const says = (text) => (error) => code("argument")(error) && text.test(error.message);

describe("a payload that JSON cannot represent", () => {
    const circular = {};
    circular.self = circular;
    const hostile = {
        toJSON() {
            throw new Error("no JSON of this");
        }
    };
    const WRONG = [[10n, /BigInt/], [circular, /circular/], [hostile, /no JSON of this/], [() => {}, /JSON cannot represent this function/], [Symbol("x"), /JSON cannot represent this symbol/]];

    for (const [payload, text] of WRONG) {
        test(`is refused by send(), request() and setInfo(): ${text.source}`, async () => {
            const { server, room, client, wire, errors } = await enter();
            assert.throws(() => room.send("chat", payload), says(text));
            assert.throws(() => client.setInfo(payload), says(text));
            await assert.rejects(room.request("chat", payload), says(text));
            assert.throws(() => client.setInfo({ payload: 10n }), says(/BigInt/));
            await server.advance(1_000);
            assert.deepEqual([wire, errors], [[], []]);
        });
    }

    test("fails as an answer for the requester, and is an error of the handler's client", async () => {
        const { server, room, other } = await enter(2);
        for (const [n, [payload]] of WRONG.entries()) {
            other.room.handle(`get ${n}`, () => payload);
            const asked = assert.rejects(room.request(`get ${n}`, 1, { to: other.client.id }), { code: "answer", kind: "failed" });
            await server.advance(1_000);
            await asked;
        }
        assert.deepEqual(other.errors.map((error) => [error.code, error.cause.code]), WRONG.map(() => ["listener", "argument"]));
    });
});

describe("a buffer of messages() without room for a message", () => {
    test("is refused, since the reader would wait for ever", async () => {
        const { room } = await enter();
        for (const buffer of [0, -1, NaN, 0.5, null, "many"]) {
            assert.throws(() => room.messages("chat", { buffer }), says(/buffer/));
        }
    });

    test("is not one of a single message, or one without a limit", async () => {
        const { server, room, other } = await enter(2);
        const heard = [];
        for (const buffer of [1, Infinity, undefined]) {
            room.messages("chat", { buffer }).next().then(({ value }) => heard.push(value.payload));
        }
        other.room.send("chat", 1);
        await server.advance(1_000);
        assert.deepEqual(heard, [1, 1, 1]);
    });
});

test("a time limit of a request that is not one is refused", async () => {
    const { server, room, client } = await enter();
    const lost = record(client, "lost");
    for (const timeout of [NaN, -1, "soon"]) {
        await assert.rejects(room.request("x", 1, { timeout }), says(/timeout/));
    }
    await server.advance(1_000);
    assert.deepEqual(lost, []);
});

describe("an address that is not one", () => {
    const WRONG = [["localhost:8080/ws?token=secret", "localhost:8080/ws"], ["ftp://ann:secret@host/ws", "ftp://host/ws"], [""], ["ftp://host/path"], ["ws://"], ["ws://host:99999/"], [undefined], [null], [42], ["mailto:ann"]];
    const explains = (shown, error) => assert.equal(error.message.replace(/^\w+: TypeError: /, ""), `cannot connect to "${shown}": write "wss://host/path", or "/path" in a page`);

    for (const [url, shown = `${url}`] of WRONG) {
        test(`is refused, and shown without its query and user: ${shown}`, () => {
            const { options } = setUp().server;
            assert.throws(() => connect(url, options), (error) => code("argument")(error) && (explains(shown, error), true));
            const lazy = connect(url, { ...options, lazy: true });
            assert.throws(lazy.start, code("argument"));
            assert.equal(lazy.state, "idle");
            assert.throws(() => core.connect(url, options), says(/URL/));
        });

        test(`costs an attempt if a function returns it: ${shown}`, async () => {
            const { server } = setUp();
            const client = connect(async () => url, server.options);
            const log = record(client, "state");
            await server.advance(10);
            const [, state, error] = log.at(-1);
            assert.deepEqual([state, error.code], ["suspended", "address"]);
            explains(shown, error);
            client.close();
        });
    }

    test("includes a relative one without a page", () => {
        const client = connect("/ws", setUp().server.options);
        assert.equal(client.state, "idle");
        assert.throws(client.start, (error) => code("argument")(error) && (explains("/ws", error), true));
        assert.throws(core.connect("/ws", setUp().server.options).start, says(/URL/));
    });
});

describe("a place for the token that is not one", () => {
    test("is refused, so that the token is not in the address", () => {
        const { options } = setUp().server;
        for (const tokenIn of ["protocols", "Protocol", "", "header", null, core.toProtocol, true]) {
            assert.throws(() => connect("ws://test/ws", { ...options, token: "secret", tokenIn }), says(/tokenIn: "address" or "protocol", not "/));
        }
    });

    test("is a name for the core, which takes a function", () => {
        const { options } = setUp().server;
        for (const tokenIn of ["protocol", "address", {}, true]) {
            assert.throws(() => core.connect("ws://test/ws", { ...options, token: "secret", tokenIn }), says(/tokenIn/));
        }
    });
});

describe("options of the wrong type", () => {
    const explained = (error) => code("argument")(error) && /: (an object|an AbortSignal|a function)$/.test(error.message);

    test("are refused by connect(), and null is like no options", async () => {
        const { server } = setUp();
        const wrong = [
            "json", 7, true, ...[{ queue: 5 }, { queue: "x" }, { signal: {} }, { signal: 1 }, { isFinal: 1 }, { random: {} }, { WebSocket: {} }].map((each) => ({ ...server.options, ...each }))
        ];
        for (const options of wrong) {
            assert.throws(() => connect("ws://test/ws", options), explained, JSON.stringify(options));
        }
        const client = connect("ws://test/ws", { ...server.options, queue: null, signal: null, reconnect: null, isFinal: null, random: null });
        assert.equal(connect("/ws", null).state, "idle");
        await server.advance();
        assert.deepEqual([client.state, client.root.send("chat", "x")], ["open", "sent"]);
        server.connections()[0].close(1001);
        await server.advance(60_000);
        assert.equal(client.state, "open", "it has returned");
    });

    test("are refused by each method, and null is like no options", async () => {
        const { server, room, client, other } = await enter(2);
        const calls = {
            join: (options) => client.join("a", options),
            on: (options) => client.on("state", () => {}, options),
            "room.on": (options) => room.on("chat", () => {}, options),
            messages: (options) => room.messages("chat", options)
        };
        for (const [name, call] of Object.entries(calls)) {
            for (const options of ["x", 7, true, ...(name === "join" ? [] : [{ signal: {} }, { signal: "x" }])]) {
                assert.throws(() => call(options), explained, `${name}(${JSON.stringify(options)})`);
            }
            call(null);
            name === "join" || call({ signal: null });
        }
        for (const options of ["x", 7, { signal: {} }]) {
            await assert.rejects(room.request("x", 1, options), explained);
            await assert.rejects(server.connections()[0].request("lobby", "x", 1, options), explained);
            assert.throws(() => createClock(options), explained);
        }
        assert.throws(() => server.allow(null), says(/rules/));
        other.room.handle("double", (number) => 2 * number);
        client.root.handle("triple", (number) => 3 * number);
        const answers = Promise.all([room.request("double", 1, { to: other.client.id, signal: null }), server.connections()[0].request("root", "triple", 1, null)]);
        await server.advance(1_000);
        const [double, triple] = await answers;
        assert.deepEqual([double, triple.json(), createClock(null).now()], [2, 3, 0]);
    });
});
