/** Suspends Chromium, or some of its processes.
 *
 * Afterwards, clients in pages, workers and frames must be in all their rooms again.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launch } from "../browser/support.js";
import { heardIn, startFar } from "../support/far.js";
import { dropSilentClient, observe } from "../support/observer.js";
import { openClient, servePages } from "../support/page-client.js";
import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";

const ROOMS = ["lobby", "kitchen"];

let pages;
before(async () => (pages = await servePages()));
after(() => pages?.close());

/**
 * Starts a browser with a client, a server with a short timeout, and an observer that records which members leave. With
 * `withKept`, another page of the browser has a client with a session.
 */
async function setUp(t, place, { options, withKept = false } = {}) {
    const server = await startServer("--allow-origin", pages.origin, "--pong-wait", "1s", "--ping-period", "300ms", "--resume-window", "600s");
    t.after(() => server.kill());
    const browser = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    t.after(() => browser.close());
    const client = await (await openClient(browser, pages.origin, place, { url: server.url, rooms: ROOMS, options })).opened();
    const observer = await observe(t, server.url, "lobby");
    await observer.sees(client);
    // Open all pages before listing the processes, since the browser starts and ends processes for a new page.
    const kept = withKept && await openKept({ server, browser, observer }, place);
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
    return { server, client, kept, observer, signal, types: processInfo.map(({ type }) => type) };
}

/** Opens another page of the browser, whose client has a session. */
async function openKept({ server, browser, observer }, place) {
    const kept = await (await openClient(browser, pages.origin, place, { url: server.url, rooms: ROOMS, extended: true })).opened();
    const { id, from } = await observer.sees(kept);
    const left = [];
    observer.room.on("member_left", (member) => void left.push(member));
    const sent = [];
    let line = from;
    return {
        /** Sends a message, which the suspended client receives when it returns. */
        miss() {
            sent.push(`message ${sent.length}`);
            observer.room.send("chat", sent.at(-1));
        },
        /** Waits until the client has returned, and checks that its session was kept and that it has received each message once. */
        async returns() {
            line += await kept.cameBack(line);
            await eventually("all messages arrive", async () => heardIn(await kept.log()).length >= sent.length);
            assert.deepEqual(heardIn(await kept.log()), sent);
            assert.equal((await kept.opening()).id, id);
            assert.equal(left.includes(id), false, "the other members saw it leave");
        }
    };
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
            const { server, client, kept, observer, signal } = await setUp(t, place, { withKept: true });
            for (let round = 0; round < 2; round++) {
                const { id, from } = await observer.sees(client);
                signal("SIGSTOP", () => true);
                await Promise.all([observer.misses(id), dropSilentClient(server.url)]);
                kept.miss();
                signal("SIGCONT", () => true);
                await Promise.all([client.cameBack(from), kept.returns()]);
            }
        });
    }

    test("its network service alone", async (t) => {
        const { server, client, kept, observer, signal, types } = await setUp(t, "page", { withKept: true });
        const isNetwork = ({ type }) => type === "utility" || type.includes("network");
        assert.ok(types.some((type) => isNetwork({ type })), `${types}`);
        const { id, from } = await observer.sees(client);
        signal("SIGSTOP", isNetwork);
        await Promise.all([observer.misses(id), dropSilentClient(server.url)]);
        kept.miss();
        signal("SIGCONT", isNetwork);
        await Promise.all([client.cameBack(from), kept.returns()]);
    });

    test("its renderer alone: the browser answers pings, and nothing is lost", async (t) => {
        const { server, client, observer, signal } = await setUp(t, "page", { options: { heartbeat: 200, timeout: 500 } });
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
        const { server, client, observer } = await setUp(t, "page", { options: { heartbeat: 200, timeout: 500 } });
        const { from } = await client.opening();
        const session = await client.page.context().newCDPSession(client.page);
        await session.send("Page.setWebLifecycleState", { state: "frozen" });
        await aClientIsDropped(t, server, observer);
        await session.send("Page.setWebLifecycleState", { state: "active" });
        await client.stays(from);
    });
});
