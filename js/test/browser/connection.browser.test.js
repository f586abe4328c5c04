/** Tests of connect() in a real browser with the real server: server restarts, workers, tokens, the page cache, and the README's chat. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { startServer } from "../support/server.js";
import { Person, heard, launch, say, total } from "./support.js";

let browser;
let server;

describe("connections from a browser", { timeout: 300_000 }, () => {
    before(async () => {
        browser = await launch();
    });
    after(() => browser?.close());

    test("pages reconnect to a restarted server and send queued messages", async (t) => {
        server = await startServer();
        t.after(() => server.stop());
        const { port } = new URL(server.origin);
        const windows = await Promise.all(["chat.html", "chat.html", "counter.html", "counter.html"].map((name) => Person.open(browser, `${server.origin}/gallery/${name}`)));
        const [a, b, c, d] = windows;
        const are = (state) => Promise.all(windows.map(({ page }) => page.locator(`#state[data-state=${state}]`).waitFor()));
        await are("open");
        await c.page.click("#more");
        await total(d, 1);
        await server.kill();
        await Promise.all(windows.map(({ page }) => page.locator("#state:not([data-state=open])").waitFor()));
        await say(a, "written meanwhile");
        await a.page.locator(".own.queued").waitFor();
        await c.page.click("#more");
        await d.page.click("#more");
        await total(c, 2);
        server = await startServer("--listen", `127.0.0.1:${port}`);
        await are("open");
        await a.page.locator(".own.sent").waitFor();
        await say(a, "written after");
        await Promise.all([heard(b, "written after"), total(c, 3), total(d, 3)]);
        assert.equal(await b.page.locator("#log li", { hasText: "written meanwhile" }).count(), 1);
        await Promise.all(windows.map((window) => window.close()));
    });

    test("the chat of the README works as described", async (t) => {
        server = await startServer("--allow-origin", "any");
        t.after(() => server.stop());
        const { port } = new URL(server.origin);
        const block = (language) => new RegExp(`\\n\`\`\`${language}\\n(.*?)\\n\`\`\``, "gs");
        const readme = readFileSync(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8");
        const [page] = [...readme.matchAll(block("html"))].map((match) => match[1]);
        const [code] = [...readme.matchAll(block("ts"))].map((match) => match[1]).filter((each) => each.includes("addEventListener"));
        const { outputFiles } = await build({
            stdin: { contents: code.replace("127.0.0.1:8080", `127.0.0.1:${port}`), loader: "ts", resolveDir: fileURLToPath(new URL(".", import.meta.url)) },
            bundle: true, format: "esm", write: false
        });
        const web = createServer(({ url }, response) => {
            const isScript = url === "/main.ts";
            response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
            response.end(isScript ? outputFiles[0].text : page);
        }).listen(0, "127.0.0.1");
        await once(web, "listening");
        t.after(() => web.close());
        const windows = await Promise.all([1, 2].map(async () => {
            const context = await browser.newContext();
            context.setDefaultTimeout(60_000);
            const each = await context.newPage();
            await each.goto(`http://127.0.0.1:${web.address().port}/`);
            await each.locator("#log li", { hasText: "You are in" }).waitFor();
            return each;
        }));
        const [a, b] = windows;
        const state = (each, wanted) => each.locator("#state", { hasText: wanted }).waitFor();
        const say = async (text) => {
            await a.fill("#text", text);
            await a.press("#text", "Enter");
        };
        await say("hello");
        await b.locator("#log li", { hasText: ": hello" }).waitFor();
        await server.kill();
        await Promise.all(windows.map((each) => each.waitForFunction(() => document.querySelector("#state").textContent !== "open")));
        await say("meanwhile");
        await a.locator("#log li", { hasText: "you: meanwhile (queued)" }).waitFor();
        server = await startServer("--allow-origin", "any", "--listen", `127.0.0.1:${port}`);
        await Promise.all(windows.map((each) => state(each, "open")));
        await b.locator("#log li", { hasText: ": meanwhile" }).waitFor();
        await a.locator("#log li", { hasText: /^you: meanwhile$/ }).waitFor();
        await say("after");
        await b.locator("#log li", { hasText: ": after" }).waitFor();
        await Promise.all(windows.map((each) => each.context().close()));
    });

    test("a worker can connect as well", async (t) => {
        server = await startServer();
        t.after(() => server.stop());
        const context = await browser.newContext();
        const page = await context.newPage();
        // Any page of this origin that permits workers will do.
        await page.goto(`${server.origin}/src/index.js`);
        const answer = await page.evaluate(() => new Promise((resolve, reject) => {
            const code = `
                import { connect } from "${location.origin}/src/index.js";
                const room = connect("${location.origin}/ws", { codec: "json" }).join("workers");
                room.on("echo", (payload, from, direct) => postMessage({ payload, direct }));
                room.opened.then(() => room.send("echo", { from: "a worker" }, room.id));`;
            const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
            worker.onmessage = ({ data }) => resolve(data);
            worker.onerror = ({ message }) => reject(new Error(message));
        }));
        assert.deepEqual(answer, { payload: { from: "a worker" }, direct: true });
        await context.close();
    });

    test("a relative address is relative to the page's base element", async (t) => {
        server = await startServer();
        t.after(() => server.stop());
        const page = await browser.newPage();
        const addresses = [];
        page.on("websocket", (socket) => addresses.push(socket.url().replace(/\?.*/, "")));
        // Without the element, the address would be relative to this page's folder.
        await page.goto(`${server.origin}/src/index.js`);
        const state = await page.evaluate(async () => {
            document.head.append(Object.assign(document.createElement("base"), { href: "/" }));
            const { connect } = await import("/src/index.js");
            const client = connect("ws", { reconnect: false });
            return client.root.opened.then(() => client.state, ({ code }) => code);
        });
        assert.deepEqual([state, addresses], ["open", [server.url]]);
        await page.close();
    });

    test("a token as a subprotocol reaches the server, and is not in the address", async (t) => {
        server = await startServer("--auth-token", "let me in");
        t.after(() => server.stop());
        const context = await browser.newContext();
        const page = await context.newPage();
        const addresses = [];
        page.on("websocket", (socket) => addresses.push(socket.url()));
        await page.goto(`${server.origin}/src/index.js`);
        const enter = (token) => page.evaluate(async (secret) => {
            const { connect } = await import("/src/index.js");
            const client = connect("/ws", { token: secret, tokenIn: "protocol", codec: "json", reconnect: false });
            return client.join("lobby").opened.then(() => "open", ({ code }) => code);
        }, token);
        assert.equal(await enter("let me in"), "open");
        assert.notEqual(await enter("let us in"), "open", "the server reads the token");
        assert.equal(addresses.length, 2);
        assert.ok(addresses.every((address) => !/token|let/.test(address)), addresses.join(" "));
        await context.close();
    });

    test("a page restored from the back/forward cache reconnects", async (t) => {
        server = await startServer();
        t.after(() => server.stop());
        const caching = await launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
        t.after(() => caching.close());
        const person = await Person.open(caching, `${server.origin}/gallery/chat.html`);
        const { page } = person;
        await page.locator("#state[data-state=open]").waitFor();
        await page.evaluate(() => addEventListener("pageshow", ({ persisted }) => (window.cached = persisted)));
        await page.goto(`${server.origin}/gallery/`);
        // A page that is restored from the cache does not emit a load event again.
        await page.goBack({ waitUntil: "commit" });
        assert.equal(await page.evaluate(() => window.cached), true, "it does come from the cache");
        await page.locator("#state[data-state=open]").waitFor();
        await page.getByText("1 here", { exact: true }).waitFor();
        // The browser itself logs this message, not the page.
        assert.deepEqual(person.errors.filter((text) => !/Page entered Back-Forward Cache/.test(text)), []);
        await person.close();
    });
});
