/** Tests of the recipes for Vue and Svelte with the in-memory server. The recipes are compiled as printed. */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { before, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { build } from "esbuild";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

import { connect } from "../src/index.js";
import { createServer } from "../src/testkit/index.js";
import { makePage } from "./support/dom.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const folder = path("node_modules/.cache/roomer-recipes");
const page = readFileSync(path("RECIPES.md"), "utf8");

/** The files on the page, by name. */
const files = Object.fromEntries([...page.matchAll(/\n```(?:js|vue|svelte)\n(?:\/\/|<!--) ([\w.-]+).*?\n(.*?)\n```/gs)].map(([, name, code]) => [name, code]));

const compilers = {
    vue: (code) => compileScript(parse(code).descriptor, { id: "lobby", inlineTemplate: true }).content,
    svelte: (code) => compile(code, { generate: "client" }).js.code
};

/** Bundles an entry point as for a browser. Its module `client.js` is the test's client. */
async function load(name, entry) {
    const outfile = `${folder}/${name}.mjs`;
    await build({
        stdin: { contents: entry, resolveDir: folder }, bundle: true, format: "esm", platform: "browser", conditions: ["browser"], mainFields: ["module", "main"], outfile, logLevel: "error",
        define: { "process.env.NODE_ENV": '"development"', __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
        plugins: [{
            name: "recipes",
            setup({ onLoad, onResolve }) {
                onResolve({ filter: /client\.js$/ }, ({ path: wanted, importer }) => (importer.startsWith(folder) && wanted === "./client.js" ? { path: "client", namespace: "test" } : undefined));
                onLoad({ filter: /.*/, namespace: "test" }, () => ({ contents: "export const client = globalThis.recipeClient;" }));
                onLoad({ filter: /\.(vue|svelte)$/ }, ({ path: file }) => ({ contents: compilers[file.split(".").at(-1)](readFileSync(file, "utf8")) }));
            }
        }]
    });
    return import(pathToFileURL(outfile));
}

const ENTRIES = {
    vue: `import { createApp, nextTick } from "vue"; import Lobby from "./Lobby.vue"; import Other from "./Other.vue";
        export function mount(host, isOther) { const app = createApp(isOther ? Other : Lobby); app.mount(host); return () => app.unmount(); }
        export const settle = nextTick;`,
    svelte: `import { flushSync, mount as mountIt, unmount } from "svelte"; import Lobby from "./Lobby.svelte"; import Other from "./Other.svelte";
        export function mount(target, isOther) { const app = mountIt(isOther ? Other : Lobby, { target }); return () => unmount(app); }
        export const settle = flushSync;`
};

describe("the recipes", () => {
    before(() => {
        makePage();
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder, { recursive: true });
        for (const [name, code] of Object.entries(files)) {
            writeFileSync(`${folder}/${name}`, code);
            // A component that joins the room with options of its own.
            writeFileSync(`${folder}/${name.replace("Lobby", "Other")}`, code.replace('useRoom("lobby")', 'useRoom("lobby", { history: 20 })'));
        }
    });

    test("are complete", () => assert.deepEqual(Object.keys(files), ["client.js", "enter.js", "use-room.js", "Lobby.vue", "room.js", "Lobby.svelte"]));

    for (const [name, entry] of Object.entries(ENTRIES)) {
        test(`${name}: joins, shows members and messages, sends and leaves`, async () => {
            const server = createServer();
            const options = { ...server.options, codec: "json" };
            const other = connect("ws://test/ws", options).join("lobby");
            const heard = [];
            other.on("chat", (text) => void heard.push(text));
            globalThis.recipeClient = connect("ws://test/ws", options);
            const { mount, settle } = await load(name, entry);
            const host = document.createElement("div");
            document.body.append(host);
            const unmount = mount(host);
            const shown = async () => {
                await server.advance();
                await settle();
                return [...host.children].slice(0, 2).map((each) => each.textContent);
            };
            assert.deepEqual(await shown(), ["open, 2 here", ""]);
            other.send("chat", "from afar");
            assert.deepEqual(await shown(), ["open, 2 here", "from afar"]);
            host.querySelector("button").click();
            await server.advance();
            assert.deepEqual(heard, ["hello"]);
            server.cut();
            assert.deepEqual((await shown())[0], "joining, 2 here");
            await server.advance(2_000);
            assert.deepEqual((await shown())[0], "open, 2 here");
            unmount();
            await server.advance();
            assert.equal(server.members("lobby").length, 1);
        });

        test(`${name}: a component gets the room as it is if the room cannot have its options`, async (t) => {
            const server = createServer({ history: 20 });
            globalThis.recipeClient = connect("ws://test/ws", { ...server.options, codec: "json" });
            const { mount, settle } = await load(`${name}-options`, entry);
            const warn = t.mock.method(console, "warn", () => {});
            const hosts = [false, true, false].map((isOther) => {
                const host = document.body.appendChild(document.createElement("div"));
                return { host, unmount: mount(host, isOther) };
            });
            await server.advance();
            await settle();
            assert.deepEqual(hosts.map(({ host }) => host.children[0].textContent), Array(3).fill("open, 1 here"));
            assert.equal(warn.mock.callCount(), 1);
            assert.match(warn.mock.calls[0].arguments.join(" "), /"lobby" ignores a component's options.*without a history/);
            // Each component counts as a user.
            hosts[0].unmount();
            hosts[2].unmount();
            await server.advance();
            assert.equal(server.members("lobby").length, 1);
            hosts[1].unmount();
            await server.advance();
            assert.equal(server.members("lobby").length, 0);
        });

        test(`${name}: a kick closes the room until a component rejoins`, async () => {
            const server = createServer();
            const options = { ...server.options, codec: "json" };
            const other = connect("ws://test/ws", options).join("lobby");
            globalThis.recipeClient = connect("ws://test/ws", options);
            const { mount, settle } = await load(`${name}-kick`, entry);
            const hosts = [];
            const unmounts = [];
            const show = () => {
                hosts.push(document.body.appendChild(document.createElement("div")));
                unmounts.push(mount(hosts.at(-1)));
            };
            const shown = async () => {
                await server.advance();
                await settle();
                return hosts.map((host) => [...host.children].slice(0, 2).map((each) => each.textContent).join(": "));
            };
            show();
            await shown();
            server.connections()[1].kick("lobby");
            assert.match((await shown())[0], /^closed, /);
            show();
            assert.deepEqual(await shown(), ["open, 2 here: ", "open, 2 here: "]);
            other.send("chat", "hello");
            assert.deepEqual(await shown(), ["open, 2 here: hello", "open, 2 here: hello"]);
            const heard = [];
            other.on("chat", (text) => void heard.push(text));
            hosts[0].querySelector("button").click();
            await shown();
            assert.deepEqual(heard, ["hello"]);
            server.connections()[1].kick("lobby");
            await shown();
            server.connections()[1].join("lobby");
            assert.deepEqual(await shown(), ["open, 2 here: hello", "open, 2 here: hello"]);
            unmounts[1]();
            other.send("chat", "!");
            assert.deepEqual((await shown())[0], "open, 2 here: hello!");
            unmounts[0]();
            await shown();
            assert.equal(server.members("lobby").length, 1);
        });
    }
});
