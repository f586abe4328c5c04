/** Tests of the listeners of connect(), and of messages() for `for await`, with the test kit's server. */

import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";

import { connect } from "../src/index.js";
import { code, record, setUp } from "./support/kit.js";

describe("listeners", () => {
    test("listeners are removed by on()'s result, off(), once and signal", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const calls = [];
        const controller = new AbortController();
        const twice = () => void calls.push("twice");
        const off = room.on("chat", () => void calls.push("off"));
        room.on("chat", () => void calls.push("once"), { once: true });
        room.on("chat", () => void calls.push("signal"), { signal: controller.signal });
        room.on("chat", () => void calls.push("never"), { signal: AbortSignal.abort() });
        room.on("chat", twice);
        room.on("chat", twice);
        const say = async () => {
            kit.server.broadcast("lobby", "chat");
            await kit.server.advance();
            return calls.splice(0);
        };
        assert.deepEqual(await say(), ["off", "once", "signal", "twice", "twice"]);
        off();
        off();
        controller.abort();
        assert.deepEqual(await say(), ["twice", "twice"]);
        room.off("chat", twice);
        room.off("chat", twice);
        room.off("nothing", twice);
        assert.deepEqual(await say(), []);
        assert.throws(() => room.on("chat", undefined), code("argument"));
    });

    test("removals apply to the current event, additions to the next", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const calls = [];
        let off;
        room.on("chat", () => {
            off();
            room.on("chat", () => void calls.push("late"), { once: true });
        }, { once: true });
        off = room.on("chat", () => void calls.push("removed"));
        // Keep one listener registered throughout, so that the event is never without listeners.
        room.on("chat", () => {});
        kit.server.broadcast("lobby", "chat");
        await kit.server.advance();
        assert.deepEqual(calls, []);
        kit.server.broadcast("lobby", "chat");
        await kit.server.advance();
        assert.deepEqual(calls, ["late"]);
    });

    test("that throw or reject are reported without affecting others", async () => {
        const kit = setUp();
        const [{ client, room, errors }] = await kit.inRoom("lobby");
        const mine = new Error("mine");
        for (const each of [room, client.root]) {
            each.on("chat", () => { throw mine; });
            each.on("chat", async () => { throw mine; });
            each.on("reopen", () => { throw mine; });
        }
        client.on("state", () => { throw mine; });
        const log = record(room, "chat", "reopen");
        kit.server.broadcast("lobby", "chat", 1);
        await kit.server.advance();
        kit.server.cut();
        await kit.server.advance(1_000);
        assert.deepEqual(log.map(([event]) => event), ["chat", "reopen"]);
        assert.equal(errors.length, 2 + 2 + 3, "two chats, two reopens, three states");
        assert.ok(errors.every((error) => error.code === "listener" && error.cause === mine));
    });

    test("without an error listener, or with one that throws, errors go to the console", async () => {
        const kit = setUp();
        const client = connect("ws://test/ws", kit.server.options);
        const spy = mock.method(console, "error", () => {});
        try {
            client.root.on("chat", () => { throw new Error("mine"); });
            await kit.server.advance();
            kit.server.broadcast("root", "chat");
            await kit.server.advance();
            client.on("error", () => {})();
            kit.server.broadcast("root", "chat");
            await kit.server.advance();
            client.on("error", () => { throw new Error("worse"); });
            kit.server.broadcast("root", "chat");
            await kit.server.advance();
        } finally {
            spy.mock.restore();
        }
        assert.deepEqual(spy.mock.calls.map(({ arguments: [error] }) => error.cause.message), ["mine", "mine", "worse"]);
    });

    test("a closed room drops its listeners", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const controller = new AbortController();
        const spy = mock.method(controller.signal, "removeEventListener");
        room.on("chat", () => {}, { signal: controller.signal });
        room.leave();
        await kit.server.advance();
        assert.equal(spy.mock.callCount(), 1);
    });
});

describe("messages()", () => {
    test("end immediately when the reader returns before or during a wait", async () => {
        const kit = setUp();
        const [{ client, room }, b] = await kit.inRoom("lobby", 2);
        const over = { value: undefined, done: true };
        const unread = room.messages("chat");
        assert.deepEqual(await unread.return(), over);
        const read = room.messages("chat");
        const waiting = [read.next(), read.next()];
        assert.deepEqual(await read.return(), over);
        assert.deepEqual(await Promise.all(waiting), [over, over]);
        // Imitates ReadableStream.from(), which Node 20 supports only behind a flag.
        const iterator = room.messages("chat");
        const stream = new ReadableStream({
            pull: async (controller) => controller.enqueue((await iterator.next()).value),
            cancel: () => iterator.return()
        });
        const reader = stream.getReader();
        const next = reader.read();
        await reader.cancel();
        assert.deepEqual(await next, over);
        assert.deepEqual(await iterator.next(), over);
        b.room.send("chat", "later");
        await kit.server.advance();
        for (const each of [unread, read, iterator]) {
            assert.deepEqual(await each.next(), over);
        }
        assert.equal(client.state, "open");
    });

    /** Reads messages until the loop ends. */
    async function readAll(messages) {
        const all = [];
        for await (const message of messages) {
            all.push(message);
        }
        return all;
    }

    test("yields messages received after the call, and ends with the room", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2);
        const messages = b.room.messages("chat");
        a.room.send("chat", 1);
        a.room.send("other", 2);
        a.room.send("chat", 3, b.client.id);
        await kit.server.advance();
        const reading = readAll(messages);
        await kit.server.advance();
        b.room.leave();
        await kit.server.advance();
        const message = { event: "chat", from: a.client.id, missed: 0 };
        assert.deepEqual(await reading, [{ ...message, payload: 1, direct: false }, { ...message, payload: 3, direct: true }]);
        assert.deepEqual(await readAll(b.room.messages("chat")), [], "of a closed room: none");
    });

    test("continues across reconnects", async () => {
        const kit = setUp();
        const [{ client, room }] = await kit.inRoom("lobby");
        const reading = readAll(room.messages("chat"));
        for (let n = 0; n < 3; n++) {
            kit.server.broadcast("lobby", "chat", n);
            await kit.server.advance();
            kit.server.cut();
            await kit.server.advance(2_000);
        }
        client.close();
        assert.deepEqual((await reading).map(({ payload }) => payload), [0, 1, 2]);
    });

    test("drops the oldest beyond its bound, and reports their number", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const messages = room.messages("chat", { buffer: 3 });
        for (let n = 0; n < 10; n++) {
            kit.server.broadcast("lobby", "chat", n);
        }
        await kit.server.advance();
        room.leave();
        await kit.server.advance();
        assert.deepEqual((await readAll(messages)).map(({ payload, missed }) => [payload, missed]), [[7, 7], [8, 0], [9, 0]]);
    });

    test("ends immediately when the signal aborts, before or during reading", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        assert.deepEqual(await readAll(room.messages("chat", { signal: AbortSignal.abort() })), []);

        const waiting = new AbortController();
        const reading = readAll(room.messages("chat", { signal: waiting.signal }));
        await kit.server.advance();
        waiting.abort();
        assert.deepEqual(await reading, []);

        const busy = new AbortController();
        const messages = room.messages("chat", { signal: busy.signal });
        [1, 2, 3].forEach((n) => kit.server.broadcast("lobby", "chat", n));
        await kit.server.advance();
        const seen = [];
        for await (const { payload } of messages) {
            seen.push(payload);
            busy.abort();
        }
        assert.deepEqual(seen, [1]);
    });

    test("break releases all resources", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        const controller = new AbortController();
        const spy = mock.method(controller.signal, "removeEventListener");
        const messages = room.messages("chat", { signal: controller.signal });
        kit.server.broadcast("lobby", "chat", "{");
        kit.server.broadcast("lobby", "chat", 1);
        await kit.server.advance();
        for await (const { payload } of messages) {
            assert.equal(payload, 1);
            break;
        }
        assert.equal(spy.mock.callCount(), 1);
        assert.deepEqual(await messages.next(), { value: undefined, done: true });
    });
});
