/**
 * Tests of wrong arguments: each is refused at once, with an error that says what is wrong.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { code, record } from "./support/kit.js";
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
