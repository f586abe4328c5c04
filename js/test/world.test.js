/** Tests of the client's environment in virtual time: page events, and other WebSocket classes. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { setUp } from "./support/kit.js";

describe("changes of the environment", () => {
    /** Runs a test with those globals of a page that the client uses. */
    async function inPage(body) {
        const page = new EventTarget();
        const document = new EventTarget();
        document.hidden = false;
        const before = { addEventListener: globalThis.addEventListener, removeEventListener: globalThis.removeEventListener };
        Object.assign(globalThis, { document, addEventListener: page.addEventListener.bind(page), removeEventListener: page.removeEventListener.bind(page) });
        const listening = new Set();
        for (const target of [document, globalThis]) {
            const { addEventListener, removeEventListener } = target;
            target.addEventListener = (event, listener) => (listening.add(event), addEventListener.call(target, event, listener));
            target.removeEventListener = (event, listener) => (listening.delete(event), removeEventListener.call(target, event, listener));
        }
        try {
            await body({
                listening,
                see: (state) => {
                    document.hidden = state === "hidden";
                    document.dispatchEvent(new Event("visibilitychange"));
                },
                tell: (event) => page.dispatchEvent(new Event(event))
            });
        } finally {
            delete globalThis.document;
            Object.assign(globalThis, before);
        }
    }

    const causes = { visibilitychange: ({ see }) => see("visible"), pageshow: ({ tell }) => tell("pageshow"), online: ({ tell }) => tell("online") };

    for (const [cause, happen] of Object.entries(causes)) {
        test(`${cause} detects a dead connection within the timeout`, () => inPage(async (page) => {
            const kit = setUp();
            const { life, client } = kit.connect({ timeout: 2_000 });
            await kit.server.advance(1_000);
            kit.server.stall();
            happen(page);
            // Further events of the same kind must not postpone the timeout.
            await kit.server.advance(1_500);
            happen(page);
            await kit.server.advance(500);
            assert.deepEqual(life.slice(1), [[3_000, "suspended", "timeout"]]);
            client.close();
        }));

        test(`${cause} keeps a working connection`, () => inPage(async (page) => {
            const kit = setUp();
            const { life, client } = kit.connect();
            await kit.server.advance(1_000);
            happen(page);
            await kit.server.advance(100_000);
            assert.equal(life.length, 1);
            client.close();
        }));

        test(`${cause} shortens a long backoff with jitter`, () => inPage(async (page) => {
            const kit = setUp();
            kit.server.stop();
            const { life, client } = kit.connect({ reconnect: { minDelay: 1_000, maxDelay: 1e6 } });
            await kit.server.advance(1e6);
            assert.equal(client.state, "suspended");
            kit.server.start();
            happen(page);
            await kit.server.advance(500);
            const back = [[1_000_500, "connecting", undefined], [1_000_500, "open", undefined]];
            assert.deepEqual(life.slice(-2), back);
            await kit.server.advance(1e6);
            assert.deepEqual(life.slice(-2), back, "the long wait is over for good");
            client.close();
        }));
    }

    test("a delay that is nearly over is not extended", () => inPage(async ({ tell }) => {
        const kit = setUp();
        const { life, client } = kit.connect({ reconnect: { minDelay: 1_000 } });
        await kit.server.advance();
        kit.server.cut();
        await kit.server.advance(400);
        tell("online");
        await kit.server.advance(100);
        assert.deepEqual(life.slice(-1), [[500, "open", undefined]]);
        client.close();
    }));

    test("hiding the page changes nothing", () => inPage(async ({ see }) => {
        const kit = setUp();
        const { life, client } = kit.connect();
        await kit.server.advance(1_000);
        kit.server.stall();
        see("hidden");
        await kit.server.advance(28_000);
        assert.equal(life.length, 1);
        client.close();
    }));

    test("a closed client has no listeners on the page", () => inPage(async ({ tell, listening }) => {
        const kit = setUp();
        const { client } = kit.connect();
        await kit.server.advance();
        assert.deepEqual([...listening].sort(), ["online", "pageshow", "visibilitychange"]);
        client.close();
        assert.deepEqual([...listening], []);
        tell("online");
        await kit.server.advance(60_000);
        assert.deepEqual([client.state, kit.server.clock.pending()], ["closed", 0]);
    }));
});

describe("nonstandard WebSocket classes", () => {
    test("a class may emit only an error, or two events", async () => {
        for (const events of [["error"], ["error", "close"], ["close"]]) {
            const kit = setUp();
            let made = 0;
            class Failing extends kit.server.options.WebSocket {
                constructor(url) {
                    super(url);
                    if (++made === 1) {
                        queueMicrotask(() => events.forEach((event) => this[`on${event}`]?.({})));
                    }
                }
            }
            const { client, life } = kit.connect({ WebSocket: Failing });
            await kit.server.advance(1_000);
            assert.deepEqual(life.map(([, state]) => state), ["suspended", "connecting", "open"]);
            client.close();
        }
    });

    test("a constructor or close() may throw", async () => {
        const kit = setUp();
        let made = 0;
        class Throwing extends kit.server.options.WebSocket {
            constructor(url) {
                if (++made === 1) {
                    throw new Error("not now");
                }
                super(url);
            }
            close() {
                queueMicrotask(() => this.onerror({}));
                throw new Error("not so");
            }
        }
        const { client, life } = kit.connect({ WebSocket: Throwing });
        await kit.server.advance(1_000);
        assert.deepEqual(life.map(([, state, why]) => [state, why]), [["suspended", "address"], ["connecting", undefined], ["open", undefined]]);
        client.close();
        await kit.server.advance();
        assert.equal(client.state, "closed");
    });

    test("an error may precede the close with its code", async () => {
        const kit = setUp();
        const sockets = [];
        class Talkative extends kit.server.options.WebSocket {
            constructor(url) {
                super(url);
                sockets.push(this);
            }
        }
        const { client } = kit.connect({ WebSocket: Talkative });
        const reasons = [];
        client.on("state", (state, error) => error && reasons.push(error.closeCode));
        await kit.server.advance();
        sockets[0].onerror({});
        sockets[0].onclose({ code: 1012, reason: "restart" });
        assert.deepEqual(reasons, [1012]);
        client.close();
    });
});
