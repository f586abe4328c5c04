/** Clients in pages, workers and frames of a real browser, and the web server that serves the pages. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { lastOpening, linesUntilBack } from "./far.js";
import { eventually } from "./wait.js";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Connects, and reports all events to `tell`, as far-client.js does. With `extended`, the client has a session. */
const CLIENT = `
    import { connect } from ${JSON.stringify(path("../../src/index.js"))};
    export function start({ url, rooms, options, extended }, tell) {
        // Unless a test requests a session, use the plain protocol, since a session would hide the events that most tests check.
        class PlainSocket extends WebSocket {
            constructor(address, protocols = []) {
                super(address.replace("roomer=2", "other=2"), protocols);
            }
        }
        const client = connect(url, { codec: "json", reconnect: { minDelay: 20, maxDelay: 200 }, ...options, WebSocket: extended ? WebSocket : PlainSocket });
        client.on("state", (state, error) => tell(["state", state, error?.code, error?.closeCode, error?.reason]));
        client.on("resumed", () => rooms.forEach((name) => tell(["reopen", name, client.id])));
        client.on("lost", ({ room, event, payload, reason }) => tell(["lost", { room, event, payload, reason }]));
        for (const name of rooms) {
            const room = client.join(name);
            room.on("chat", (payload) => tell(["chat", name, payload]));
            room.on("open", () => tell(["open", name, client.id]));
            room.on("reopen", () => tell(["reopen", name, client.id]));
            room.on("close", (error) => tell(["close", name, error?.code]));
        }
    }
`;

const RUN = `const about = JSON.parse(decodeURIComponent(location.hash.slice(1)));`;

/** The files that the web server serves, by path. A page stores its client's events in \`log\`. */
const FILES = {
    "/page": `<!DOCTYPE html><title>page</title><script type="module">
        import { start } from "/client.js"; ${RUN}
        const { log } = window.parent === window ? Object.assign(window, { log: [] }) : window.parent;
        addEventListener("pageshow", ({ persisted }) => persisted && log.push(["persisted"]));
        start(about, (line) => log.push(line));
    </script>`,
    "/worker": `<!DOCTYPE html><title>worker</title><script type="module">
        window.log = [];
        const worker = new Worker("/worker.js" + location.hash, { type: "module" });
        worker.onmessage = ({ data }) => log.push(data);
    </script>`,
    "/worker.js": `import { start } from "/client.js"; ${RUN} start(about, (line) => postMessage(line));`,
    "/frame": `<!DOCTYPE html><title>frame</title><script>
        window.log = [];
        document.write('<iframe src="/page' + location.hash + '"></iframe>');
    </script>`,
    "/elsewhere": "<!DOCTYPE html><title>elsewhere</title>"
};

/** Starts the web server, and stops it after the suite. Returns its origin, and a function that stops it earlier. */
export async function servePages() {
    const { outputFiles } = await build({ stdin: { contents: CLIENT, resolveDir: path(".") }, bundle: true, format: "esm", write: false });
    const files = { ...FILES, "/client.js": outputFiles[0].text };
    const server = createServer(({ url }, response) => {
        const { pathname } = new URL(url, "http://here");
        const type = pathname.endsWith(".js") ? "text/javascript" : "text/html";
        response.writeHead(pathname in files ? 200 : 404, { "content-type": `${type}; charset=utf-8` }).end(files[pathname] ?? "");
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        origin: `http://127.0.0.1:${server.address().port}`,
        async close() {
            server.close();
            server.closeAllConnections();
            await once(server, "close");
        }
    };
}

/** Opens a page whose client joins these rooms. `place` is "page", "worker" or "frame". */
export async function openClient(browser, origin, place, { url, rooms, options = {}, extended = false }) {
    const page = await browser.newPage();
    await page.goto(`${origin}/${place}#${encodeURIComponent(JSON.stringify({ url, rooms, options, extended }))}`);
    // While the page navigates, it cannot be queried.
    const changing = (error) => assert.match(error.message, /context was destroyed|navigat/);
    const log = () => eventually("the page answers", () => page.evaluate(() => window.log ?? []).catch(changing));
    const until = (what, fits, from = 0) => eventually(what, async () => (await log()).slice(from).find(fits));
    const client = {
        page,
        log,
        until,
        opening: async () => lastOpening(await log()),
        async opened() {
            for (const name of rooms) {
                await until(`open ${name}`, ([what, room]) => what === "open" && room === name);
            }
            return client;
        },
        /**
         * Waits until the client was suspended, in line `from` or later, and has all its rooms open again. Fails if the client or
         * a room has closed.
         */
        cameBack: (from) => eventually("back", async () => linesUntilBack((await log()).slice(from), rooms)),
        /**
         * Waits for a turn of the page's timers, and then until the client is open. Fails if the client or a room has closed
         * since line `from`.
         */
        async stays(from) {
            await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
            await eventually("open", async () => (await log()).findLast(([what]) => what === "state")[1] === "open");
            assert.deepEqual((await log()).slice(from).filter(([what, state]) => what === "close" || state === "closed"), []);
        }
    };
    return client;
}
