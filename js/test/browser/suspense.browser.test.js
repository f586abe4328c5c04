/** Builds an app whose room is hidden by Suspense for a while, and tests it in a browser with the real server.
 *
 * It is built with Vite and each version of React. test/react/hiding.js contains the same test without a browser.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "vite";
import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";
import { Person, launch } from "./support.js";

const JS = fileURLToPath(new URL("../../", import.meta.url));
const REACTS = { 18: "test/react18/node_modules", 19: "node_modules" };

const appOn = (url) => `
import { Suspense, useState } from "react";
import { createRoot } from "react-dom/client";
import { RoomerProvider, useEvent, useMembers, useRoom } from "roomer/react";

const loads = new Map();
function Detail({ id }) {
    if (!loads.has(id)) {
        const load = {};
        load.done = new Promise((resolve) => (load.finish = () => resolve(load.isDone = true)));
        loads.set(id, load);
        id === "first" && load.finish();
    }
    if (!loads.get(id).isDone) {
        throw loads.get(id).done;
    }
    return <i>{id}</i>;
}
window.load = (id) => loads.get(id).finish();

window.heard = [];
function Lobby() {
    const room = useRoom("lobby");
    useEvent(room, "chat", (text) => window.heard.push(text));
    useEvent(room, "close", () => window.heard.push("close"));
    return <p>{room?.state} {useMembers(room).length}</p>;
}

function App({ isInside }) {
    const [id, show] = useState("first");
    window.show = show;
    const both = <><Lobby /><Detail id={id} /></>;
    const provide = (children) => <RoomerProvider url="${url}" options={{ codec: "json" }}>{children}</RoomerProvider>;
    const bound = (children) => <Suspense fallback={<b>wait</b>}>{children}</Suspense>;
    return isInside ? bound(provide(both)) : provide(bound(both));
}
createRoot(document.body.appendChild(document.createElement("div"))).render(<App isInside={location.hash === "#inside"} />);
`;

describe("a room that Suspense hides", { timeout: 300_000 }, () => {
    let browser;
    let server;

    before(async () => {
        browser = await launch();
        server = await startServer("--allow-origin", "any");
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    for (const [version, modules] of Object.entries(REACTS)) {
        test(`stays open, and so does its connection, in React ${version}`, async (t) => {
            const folder = mkdtempSync(join(tmpdir(), "roomer-suspense-"));
            t.after(() => rmSync(folder, { recursive: true, force: true }));
            mkdirSync(join(folder, "node_modules"));
            const links = { roomer: ".", react: `${modules}/react`, "react-dom": `${modules}/react-dom` };
            Object.entries(links).forEach(([name, target]) => symlinkSync(join(JS, target), join(folder, "node_modules", name)));
            writeFileSync(join(folder, "app.jsx"), appOn(server.url));
            writeFileSync(join(folder, "index.html"), '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script type="module" src="./app.jsx"></script>');
            const dedupe = ["react", "react-dom"];
            await build({ root: folder, configFile: false, logLevel: "error", esbuild: { jsx: "automatic" }, resolve: { dedupe } });
            const web = createServer(({ url }, response) => {
                response.setHeader("Content-Type", url.endsWith(".js") ? "text/javascript" : "text/html");
                response.end(readFileSync(join(folder, "dist", url === "/" ? "index.html" : url)));
            }).listen(0, "127.0.0.1");
            t.after(() => web.close());
            await once(web, "listening");

            for (const place of ["outside", "inside"]) {
                const other = connect(server.url, { WebSocket, codec: "json" });
                t.after(() => other.close());
                const room = await other.join("lobby").opened;
                const seen = [];
                room.on("new_member", () => void seen.push("came"));
                room.on("member_left", () => void seen.push("left"));
                const { page, errors } = await Person.open(browser, `http://127.0.0.1:${web.address().port}/#${place}`);
                await page.locator("p", { hasText: "open 2" }).waitFor();
                const say = async (text) => {
                    room.send("chat", text);
                    await page.waitForFunction((last) => window.heard.at(-1) === last, text);
                };
                await say("before");
                await page.evaluate(() => window.show("second"));
                await page.locator("b", { hasText: "wait" }).waitFor();
                await say("while it loads");
                await page.evaluate(() => window.load("second"));
                await page.locator("i", { hasText: "second" }).waitFor();
                await page.locator("p", { hasText: "open 2" }).waitFor();
                await say("after");
                assert.deepEqual([await page.evaluate(() => window.heard), seen, errors], [["before", "while it loads", "after"], ["came"], []]);
                // Otherwise the next test's client would see this page leave the room.
                await page.context().close();
                await eventually("the page has left", () => seen.at(-1) === "left");
                other.close();
            }
        });
    }
});
