/** Suspends Chromium, or some of its processes.
 *
 * Afterwards, clients in pages, workers and frames must be in all their rooms again.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launch } from "../browser/support.js";
import { startFar } from "../support/far.js";
import { observe } from "../support/observer.js";
import { openClient, servePages } from "../support/page-client.js";
import { startServer } from "../support/server.js";

const ROOMS = ["lobby", "kitchen"];

let pages;
before(async () => (pages = await servePages()));
after(() => pages?.close());

/** Starts a browser with a client, a server with a short timeout, and an observer that records which members leave. */
async function setUp(t, place, options) {
    const server = await startServer("--allow-origin", pages.origin, "--pong-wait", "1s", "--ping-period", "300ms");
    t.after(() => server.kill());
    const browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    t.after(() => browser.close());
    const client = await (await openClient(browser, pages.origin, place, { url: server.url, rooms: ROOMS, options })).opened();
    const observer = await observe(t, server.url, "lobby");
    await observer.sees(client);
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    const signal = (name, fits) => processInfo.filter(fits).forEach(({ id }) => process.kill(id, name));
    // A suspended process does not notice that its browser has exited, so kill each process.
    const kill = () => processInfo.forEach(({ id }) => {
        try {
            process.kill(id, "SIGKILL");
        } catch {
            // The process has already exited.
        }
    });
    process.once("exit", kill);
    t.after(() => process.off("exit", kill));
    return { server, browser, client, observer, signal, types: processInfo.map(({ type }) => type) };
}

/** Waits until the server has dropped the suspended client. */
async function aClientIsDropped(t, server, observer) {
    const far = await startFar(t, { url: server.url, rooms: ["lobby"] }).opened();
    const { id } = await observer.sees(far);
    far.signal("SIGSTOP");
    await observer.misses(id);
    far.signal("SIGCONT");
}

describe("a stopped browser", { timeout: 300_000 }, () => {
    for (const place of ["page", "worker", "frame"]) {
        test(`the whole of it, the client in a ${place}`, async (t) => {
            const { client, observer, signal } = await setUp(t, place);
            for (let round = 0; round < 2; round++) {
                const { id, from } = await observer.sees(client);
                signal("SIGSTOP", () => true);
                await observer.misses(id);
                signal("SIGCONT", () => true);
                await client.cameBack(from);
            }
        });
    }

    test("its network service alone", async (t) => {
        const { client, observer, signal, types } = await setUp(t, "page");
        const isNetwork = ({ type }) => type === "utility" || type.includes("network");
        assert.ok(types.some((type) => isNetwork({ type })), `${types}`);
        const { id, from } = await observer.sees(client);
        signal("SIGSTOP", isNetwork);
        await observer.misses(id);
        signal("SIGCONT", isNetwork);
        await client.cameBack(from);
    });

    test("its renderer alone: the browser answers pings, and nothing is lost", async (t) => {
        const { server, client, observer, signal } = await setUp(t, "page", { heartbeat: 200, timeout: 500 });
        const { from } = await client.opening();
        const isRenderer = ({ type }) => type === "renderer";
        signal("SIGSTOP", isRenderer);
        await aClientIsDropped(t, server, observer);
        signal("SIGCONT", isRenderer);
        await client.stays(from);
    });
});

describe("a page that is left and restored", { timeout: 300_000 }, () => {
    test("a page restored from the back/forward cache rejoins its rooms", async (t) => {
        const { server, client, observer } = await setUp(t, "page");
        const { from } = await client.opening();
        await client.page.goto(`${pages.origin}/elsewhere`);
        await aClientIsDropped(t, server, observer);
        observer.room.send("chat", "while you were away");
        // goBack() would wait for a load event, which a page restored from the cache does not emit.
        await client.page.evaluate(() => void setTimeout(() => history.back(), 100));
        await client.until("kept", ([what]) => what === "persisted", from);
        await client.stays(from);
        await observer.sees(client);
    });

    test("a frozen page continues once resumed", async (t) => {
        const { server, client, observer } = await setUp(t, "page", { heartbeat: 200, timeout: 500 });
        const { from } = await client.opening();
        const session = await client.page.context().newCDPSession(client.page);
        await session.send("Page.setWebLifecycleState", { state: "frozen" });
        await aClientIsDropped(t, server, observer);
        await session.send("Page.setWebLifecycleState", { state: "active" });
        await client.stays(from);
    });
});
