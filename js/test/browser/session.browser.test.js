/** Tests a session in a real browser whose network fails for five seconds. An observer that stays connected watches the room. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { record } from "../support/kit.js";
import { startProxy } from "../support/proxy.js";
import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";
import { launch } from "./support.js";

const COUNT = 200;
/** The duration of the network failure, in milliseconds. */
const GONE = 5_000;
const numbers = Array.from({ length: COUNT }, (_, n) => n);

describe("a page in a session", { timeout: 300_000 }, () => {
    let browser;
    let server;
    let proxy;
    before(async () => {
        browser = await launch();
        // Sessions are kept longer than any step below takes.
        server = await startServer("--allow-origin", "any", "--resume-window", "600s");
        proxy = await startProxy(new URL(server.origin).port);
    });
    after(async () => {
        await browser?.close();
        await proxy?.close();
        await server?.stop();
    });

    test(`offline for ${GONE / 1_000} s loses none of ${COUNT} messages each way and stays a member`, async (t) => {
        const observer = connect(server.url, { codec: "json", WebSocket });
        t.after(() => observer.close());
        const lobby = observer.join("lobby");
        const came = record(lobby, "n");
        const page = await (await browser.newContext()).newPage();
        // The page is loaded directly from the server. Only its WebSocket goes through the proxy.
        await page.goto(`${server.origin}/src/index.js`);
        await page.evaluate(async (url) => {
            const { connect } = await import(`${location.origin}/src/index.js`);
            const client = connect(url, { codec: "json" });
            const room = client.join("lobby");
            const seen = (window.seen = { came: [], unwanted: [], resumed: 0 });
            room.on("n", (n) => void seen.came.push(n));
            client.on("resumed", () => void seen.resumed++);
            ["reopen", "close", "member_left"].forEach((event) => room.on(event, () => void seen.unwanted.push(event)));
            ["lost", "overflow", "error"].forEach((event) => client.on(event, () => void seen.unwanted.push(event)));
            let isGone = false;
            client.on("state", (state) => void (isGone ||= state === "suspended"));
            window.start = () => {
                let n = 0;
                // Send the second half of the messages only once the network has failed, however late that is on a busy machine.
                const timer = setInterval(() => (n < (isGone ? 200 : 100) ? room.send("n", n++) : isGone && clearInterval(timer)), 20);
            };
            window.state = async () => ({ ...seen, id: client.id, handled: await room.sent });
            await room.opened;
        }, `ws://127.0.0.1:${proxy.port}/ws`);
        const { id } = await page.evaluate(() => window.state());
        await eventually("both are in the room", () => lobby.memberSet.has(id));
        const changes = record(lobby, "member_left", "new_member");
        await page.evaluate(() => window.start());
        await eventually("the page sends", () => came.length > 10);
        let sent = 0;
        const timer = setInterval(() => (sent < COUNT ? lobby.send("n", sent++) : clearInterval(timer)), 20);
        t.after(() => clearInterval(timer));
        await eventually("messages go both ways", () => sent > 10);
        proxy.drop();
        // The duration is part of the test: the network fails for five seconds, and no event is expected in that time.
        await new Promise((resolve) => setTimeout(resolve, GONE));
        assert.ok(came.length < COUNT);
        proxy.resume();
        await eventually("all messages of the page arrive", () => came.length >= COUNT);
        await page.waitForFunction((count) => window.seen.came.length >= count, COUNT);
        const seen = await page.evaluate(() => window.state());
        assert.deepEqual(came.map(([, n]) => n), numbers);
        assert.deepEqual([seen, changes], [{ came: numbers, unwanted: [], resumed: 1, id, handled: true }, []]);
        await page.context().close();
    });

    test("leaves immediately when it is closed", async (t) => {
        const observer = connect(server.url, { codec: "json", WebSocket });
        t.after(() => observer.close());
        const hall = observer.join("hall");
        const page = await (await browser.newContext()).newPage();
        await page.goto(`${server.origin}/src/index.js`);
        const id = await page.evaluate(async () => {
            const { connect } = await import(`${location.origin}/src/index.js`);
            const client = connect("/ws");
            await client.join("hall").opened;
            return client.id;
        });
        await eventually("the page is in the room", () => hall.memberSet.has(id));
        await page.close();
        // The page's client must leave the room now, long before its session would expire.
        await eventually("the page has left", () => !hall.memberSet.has(id));
        await page.context().close();
    });
});
