/** Tests of the Rust client in a browser: a page that loads its WebAssembly module, with the JavaScript client as its peer. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { record } from "../support/kit.js";
import { startProxy } from "../support/proxy.js";
import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";
import { launch } from "./support.js";

const MODULE = fileURLToPath(new URL("../../../target/web/", import.meta.url));
const TYPES = { js: "text/javascript", wasm: "application/wasm" };

describe("a Rust client in a page", { timeout: 300_000, skip: !existsSync(MODULE) && "there is no module: run .ci/web" }, () => {
    let browser;
    let server;
    let proxy;
    let observer;
    let lobby;
    before(async () => {
        browser = await launch();
        server = await startServer("--allow-origin", "any");
        proxy = await startProxy(new URL(server.origin).port);
        observer = connect(server.url, { codec: "text", WebSocket });
        lobby = observer.join("lobby");
        await lobby.opened;
    });
    after(async () => {
        observer?.close();
        await browser?.close();
        await proxy?.close();
        await server?.stop();
    });

    /** Opens a page whose client joins the lobby. The page stores the client as `window.client`, and its events there as text. */
    async function open(t, url, answerTime = 20_000) {
        const context = await browser.newContext();
        t.after(() => context.close());
        const page = await context.newPage();
        const errors = [];
        page.on("pageerror", (error) => errors.push(String(error)));
        await page.route("**/web/*", (route) => {
            const name = new URL(route.request().url()).pathname.split("/").at(-1);
            return route.fulfill({ body: readFileSync(MODULE + name), contentType: TYPES[name.split(".").at(-1)] });
        });
        await page.goto(`${server.origin}/src/index.js`);
        const id = await page.evaluate(async ([url, answerTime]) => {
            const { default: load, Page } = await import(`${location.origin}/web/roomer_conformance_web.js`);
            await load({ module_or_path: `${location.origin}/web/roomer_conformance_web_bg.wasm` });
            const client = (window.client = new Page(url, answerTime));
            const lines = (window.lines = []);
            // Use a separate object for the events, since a pending method call borrows its object.
            const events = client.events();
            (async () => {
                for (let line; (line = await events.next()); ) {
                    lines.push(line);
                }
            })();
            await client.join("lobby");
            return client.id();
        }, [url, answerTime]);
        const lines = () => page.evaluate(() => window.lines);
        const until = (line) => page.waitForFunction((wanted) => window.lines.includes(wanted), line);
        await eventually("the observer sees the page's client", () => lobby.memberSet.has(id));
        return { page, id, lines, until, errors };
    }

    test("exchanges messages and requests, and leaves on close", async (t) => {
        const came = record(lobby, "chat");
        lobby.handle("double", (number) => String(2 * Number(number)));
        const { page, id, until, lines, errors } = await open(t, server.url);
        await page.evaluate(() => window.client.send("lobby", "chat", "héllo"));
        await eventually("the message arrives", () => came.length === 1);
        assert.deepEqual(came[0].slice(0, 3), ["chat", "héllo", id]);
        lobby.send("chat", "hello back");
        await until("lobby: chat hello back");
        assert.equal(await page.evaluate((to) => window.client.request("lobby", to, "21"), observer.id), "42");
        assert.equal(await lobby.request("double", "4", { to: id }), "8");
        await page.evaluate(() => window.client.close());
        await eventually("the client has left", () => !lobby.memberSet.has(id));
        await page.waitForFunction(() => window.lines.at(-1)?.startsWith("closed"));
        assert.deepEqual([(await lines()).includes("lost"), errors], [false, []]);
    });

    test("loses nothing while offline and stays a member", async (t) => {
        const came = record(lobby, "n");
        const { page, id, lines, until, errors } = await open(t, `ws://127.0.0.1:${proxy.port}/ws`);
        const changes = record(lobby, "member_left", "new_member");
        proxy.drop();
        await until("suspended");
        for (let n = 0; n < 20; n++) {
            lobby.send("n", String(n));
        }
        await page.evaluate(() => {
            for (let n = 0; n < 20; n++) {
                window.client.send("lobby", "n", String(n));
            }
        });
        proxy.resume();
        await until("resumed");
        await until("lobby: n 19");
        await eventually("the page's messages arrive", () => came.length === 20);
        const numbers = Array.from({ length: 20 }, (_, n) => n);
        assert.deepEqual(came.map(([, n]) => Number(n)), numbers);
        assert.deepEqual((await lines()).filter((line) => line.startsWith("lobby: n")), numbers.map((n) => `lobby: n ${n}`));
        assert.deepEqual([await page.evaluate(() => window.client.id()), changes, errors], [id, [], []]);
        assert.ok(!(await lines()).includes("lost"));
    });

    test("drops a silent connection without ending its session", async (t) => {
        const { page, id, until, errors } = await open(t, `ws://127.0.0.1:${proxy.port}/ws`, 1_000);
        const changes = record(lobby, "member_left", "new_member");
        proxy.stall();
        // As after a change of networks, the client sends a probe, which is not answered.
        await page.evaluate(() => dispatchEvent(new Event("online")));
        await until("suspended");
        // Only now does the data that the client sent on its old connection reach the server.
        proxy.resume();
        await until("resumed");
        lobby.send("chat", "after");
        await until("lobby: chat after");
        assert.deepEqual([await page.evaluate(() => window.client.id()), changes, errors], [id, [], []]);
    });

    test("runs in a worker", async (t) => {
        const { page, errors } = await open(t, server.url);
        const came = record(lobby, "work");
        await page.evaluate((url) => {
            const program = `
                import load, { Page } from "${location.origin}/web/roomer_conformance_web.js";
                await load({ module_or_path: "${location.origin}/web/roomer_conformance_web_bg.wasm" });
                const client = new Page("${url}", 20_000);
                await client.join("lobby");
                client.send("lobby", "work", "done");`;
            window.worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })), { type: "module" });
        }, server.url);
        await eventually("the message of the worker arrives", () => came.length === 1);
        assert.deepEqual([came[0][1], errors], ["done", []]);
    });

    test("reconnects to a restarted server", async (t) => {
        const other = await startServer("--allow-origin", "any");
        const { port } = new URL(other.origin);
        const context = await open(t, server.url);
        assert.ok(port);
        await context.page.evaluate(async (url) => {
            const { Page } = await import(`${location.origin}/web/roomer_conformance_web.js`);
            const client = (window.second = new Page(url, 20_000));
            const events = client.events();
            window.more = [];
            (async () => {
                for (let line; (line = await events.next()); ) {
                    window.more.push(line);
                }
            })();
            await client.join("hall");
        }, other.url);
        await other.stop();
        await context.page.waitForFunction(() => window.more.includes("suspended"));
        const again = await startServer("--allow-origin", "any", "--listen", `127.0.0.1:${port}`);
        t.after(() => again.stop());
        await context.page.waitForFunction(() => window.more.includes("rejoined hall"));
        assert.deepEqual(context.errors, []);
    });
});
