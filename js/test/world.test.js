/**
 * What comes from outside: the page's events, and WebSocket classes of others. In the test kit's time.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { setUp } from "./support/kit.js";

describe("the world changes", () => {
    /** Runs a test with the globals of a page, as far as they matter. */
    async function inPage(body) {
        const page = new EventTarget();
        const document = new EventTarget();
        document.visibilityState = "visible";
        const before = { addEventListener: globalThis.addEventListener, removeEventListener: globalThis.removeEventListener };
        Object.assign(globalThis, { document, addEventListener: page.addEventListener.bind(page), removeEventListener: page.removeEventListener.bind(page) });
        try {
            await body({
                see: (state) => {
                    document.visibilityState = state;
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
        test(`${cause} finds a dead connection within the timeout`, () => inPage(async (page) => {
            const kit = setUp();
            const { life, client } = kit.connect({ timeout: 2_000 });
            await kit.server.advance(1_000);
            kit.server.stall();
            happen(page);
            // More of the kind must not put it off.
            await kit.server.advance(1_500);
            happen(page);
            await kit.server.advance(500);
            assert.deepEqual(life.slice(1), [[3_000, "suspended", "timeout"]]);
            client.close();
        }));

        test(`${cause} leaves a good one alone`, () => inPage(async (page) => {
            const kit = setUp();
            const { life, client } = kit.connect();
            await kit.server.advance(1_000);
            happen(page);
            await kit.server.advance(100_000);
            assert.equal(life.length, 1);
            client.close();
        }));

        test(`${cause} shortens a long wait, but keeps the jitter`, () => inPage(async (page) => {
            const kit = setUp();
            kit.server.stop();
            const { life, client } = kit.connect({ reconnect: { minDelay: 1_000, maxDelay: 1e6 } });
            await kit.server.advance(1e6);
            assert.equal(client.state, "suspended");
            kit.server.start();
            happen(page);
            await kit.server.advance(500);
            assert.deepEqual(life.slice(-2), [[1_000_500, "connecting", undefined], [1_000_500, "open", undefined]]);
            client.close();
        }));
    }

    test("a page that goes out of sight changes nothing", () => inPage(async ({ see }) => {
        const kit = setUp();
        const { life, client } = kit.connect();
        await kit.server.advance(1_000);
        kit.server.stall();
        see("hidden");
        await kit.server.advance(28_000);
        assert.equal(life.length, 1);
        client.close();
    }));

    test("a closed client listens no more", () => inPage(async ({ tell }) => {
        const kit = setUp();
        const { client } = kit.connect();
        await kit.server.advance();
        client.close();
        tell("online");
        await kit.server.advance(60_000);
        assert.deepEqual([client.state, kit.server.clock.pending()], ["closed", 0]);
    }));
});

describe("WebSocket classes with ways of their own", () => {
    test("one that tells of a failure by error alone, and one that tells twice", async () => {
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

    test("one whose constructor or close() throws", async () => {
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
                throw new Error("not so");
            }
        }
        const { client, life } = kit.connect({ WebSocket: Throwing });
        await kit.server.advance(1_000);
        assert.deepEqual(life.map(([, state, why]) => [state, why]), [["suspended", "address"], ["connecting", undefined], ["open", undefined]]);
        client.close();
        assert.equal(client.state, "closed");
    });
});
