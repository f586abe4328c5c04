/** Builds the README's two clients with Vite, and tests them in a browser with the real server.
 *
 * One is in plain JavaScript, the other in React.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "vite";

import { startServer } from "../support/server.js";
import { Person, launch } from "./support.js";

const JS = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(join(JS, "../README.md"), "utf8");
const [plain] = [...readme.matchAll(/\n```js\n(.*?)\n```/gs)].map((match) => match[1]);
const [inReact] = [...readme.matchAll(/\n```tsx\n(.*?)\n```/gs)].map((match) => match[1]);

/** The module that mounts the page's App. The README leaves it to the reader. */
const MOUNT = `
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
createRoot(document.body.appendChild(document.createElement("div"))).render(<StrictMode><App /></StrictMode>);
`;

describe("the front page's clients", { timeout: 300_000 }, () => {
    let browser;
    let folder;
    let server;
    let web;

    before(async () => {
        browser = await launch();
        server = await startServer("--allow-origin", "any");
        folder = mkdtempSync(join(tmpdir(), "roomer-readme-"));
        const address = (code) => code.replace("ws://127.0.0.1:8080/ws", server.url);
        mkdirSync(join(folder, "node_modules"));
        for (const [name, target] of [["roomer", "."], ["react", "node_modules/react"], ["react-dom", "node_modules/react-dom"]]) {
            symlinkSync(join(JS, target), join(folder, "node_modules", name));
        }
        writeFileSync(join(folder, "plain.js"), address(plain));
        writeFileSync(join(folder, "app.tsx"), address(inReact) + MOUNT);
        for (const [page, script] of [["plain", "plain.js"], ["react", "app.tsx"]]) {
            writeFileSync(join(folder, `${page}.html`), `<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script type="module" src="./${script}"></script>`);
        }
        await build({
            root: folder, configFile: false, logLevel: "error", esbuild: { jsx: "automatic" },
            build: { rollupOptions: { input: ["plain", "react"].map((page) => join(folder, `${page}.html`)) } }
        });
        web = createServer(({ url }, response) => {
            response.setHeader("Content-Type", url.endsWith(".js") ? "text/javascript" : "text/html");
            response.end(readFileSync(join(folder, "dist", url)));
        }).listen(0, "127.0.0.1");
        await once(web, "listening");
    });
    after(async () => {
        await browser?.close();
        web?.close();
        await server?.stop();
        rmSync(folder, { recursive: true, force: true });
    });

    test("plain JavaScript and React in StrictMode exchange messages", async () => {
        const open = async (page) => {
            const person = await Person.open(browser, "about:blank");
            const log = [];
            person.page.on("console", (message) => log.push(message.text()));
            await person.page.goto(`http://127.0.0.1:${web.address().port}/${page}.html`);
            return { ...person, log, page: person.page, close: () => person.close() };
        };
        const react = await open("react");
        await react.page.locator("p", { hasText: "open, 1 here" }).waitFor();
        const other = await open("plain");
        await react.page.locator("p", { hasText: "open, 2 here" }).waitFor();
        await react.page.locator("li", { hasText: "hello" }).waitFor();
        const said = other.page.waitForEvent("console", (message) => / hello$/.test(message.text()));
        await react.page.click("button");
        await said;
        assert.match(other.log[0], /^here: /);
        // Send a burst that arrives before React renders again.
        const lines = await react.page.locator("li").count();
        const second = await open("react");
        await second.page.locator("p", { hasText: "open, 3 here" }).waitFor();
        await second.page.evaluate(() => {
            for (let n = 0; n < 20; n++) document.querySelector("button").click();
        });
        await react.page.locator("li").nth(lines + 19).waitFor();
        await second.close();
        await react.page.locator("p", { hasText: "open, 2 here" }).waitFor();
        const port = new URL(server.url).port;
        await server.stop();
        await react.page.locator("p", { hasText: /^(suspended|connecting), 2 here/ }).waitFor();
        server = await startServer("--allow-origin", "any", "--listen", `127.0.0.1:${port}`);
        await react.page.locator("p", { hasText: "open, 2 here" }).waitFor();
        // Until both clients have reconnected, a message may go to an empty room. The app does not show ids, so repeat the
        // message until it arrives.
        let isHeard = false;
        const again = other.page.waitForEvent("console", (message) => / hello$/.test(message.text())).then(() => (isHeard = true));
        while (!isHeard) {
            await react.page.click("button");
            await Promise.race([again, react.page.evaluate(() => new Promise(requestAnimationFrame))]);
        }
        await other.close();
        await react.page.locator("p", { hasText: "open, 1 here" }).waitFor();
        await react.close();
    });
});
