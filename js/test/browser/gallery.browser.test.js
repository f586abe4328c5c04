/** Tests of the gallery in a real browser with the real server.
 *
 * With UPDATE_SCREENSHOTS=1, also takes the screenshots for the README.
 */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { RUNTIMES, startServer, startServerOn } from "../support/server.js";
import { faintTexts } from "./contrast.js";
import { costs, judge } from "./costs.js";
import { crowd, guest } from "./guests.js";
import { Person, heard, launch, say, total } from "./support.js";

const PHONE = { viewport: { width: 375, height: 667 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const gallery = (name) => fileURLToPath(new URL(`../../gallery/${name}`, import.meta.url));
const chat = (name) => fileURLToPath(new URL(`../../chat/${name}`, import.meta.url));
const PAGES = readdirSync(gallery("")).filter((name) => name.endsWith(".html"));
const DEMOS = PAGES.filter((name) => name !== "index.html");

let browser;
let server;

/** Opens a page in several windows, waits until all are connected and list each other, runs the test, and closes them. */
async function withWindows(page, optionsOfEach, body) {
    const windows = [];
    try {
        for (const options of optionsOfEach) {
            windows.push(await Person.open(browser, `${server.origin}/gallery/${page}`, options));
        }
        for (const { page: each } of windows) {
            await each.locator("#state[data-state=open]").waitFor();
            await each.getByText(`${windows.length} here`, { exact: true }).waitFor();
        }
        await body(...windows);
        for (const window of windows) {
            assert.deepEqual(window.errors, [], "nothing on the console");
        }
    } finally {
        await Promise.all(windows.map((window) => window.close()));
    }
}

const widths = ({ page }) => page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);

describe("the gallery", { timeout: 300_000 }, () => {
    before(async () => {
        server = await startServer();
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    test("each page has fewer than 60 lines of client code", () => {
        for (const name of DEMOS) {
            const scripts = [...readFileSync(gallery(name), "utf8").matchAll(/<script[^>]*>\n(.*?)<\/script>/gs)].map((match) => match[1]);
            assert.equal(scripts.length, 1);
            assert.ok(scripts[0].trimEnd().split("\n").length < 60, name);
            assert.deepEqual([...scripts[0].matchAll(/import .* from (.*);/g)].map((match) => match[1]), ['"../src/index.js"', ...(name === "counter.html" ? ['"./cable.js"'] : [])]);
        }
    });

    test("both runtimes serve all files unchanged", async () => {
        const source = (name) => fileURLToPath(new URL(`../../src/${name}`, import.meta.url));
        const modules = readdirSync(source("")).filter((name) => name.endsWith(".js"));
        for (const runtime of RUNTIMES) {
            const each = await startServerOn(runtime);
            try {
                for (const [address, file] of [
                    ...PAGES.map((name) => [`gallery/${name === "index.html" ? "" : name}`, gallery(name)]),
                    ...readdirSync(gallery("")).filter((name) => /\.(js|css)$/.test(name)).map((name) => [`gallery/${name}`, gallery(name)]),
                    ["", chat("index.html")],
                    ...readdirSync(chat("")).filter((name) => /\.(js|css)$/.test(name)).map((name) => [`chat/${name}`, chat(name)]),
                    ...modules.map((name) => [`src/${name}`, source(name)])
                ]) {
                    const answer = await fetch(`${each.origin}/${address}`);
                    assert.equal(await answer.text(), readFileSync(file, "utf8"), `${address}: build the chat servers again`);
                }
            } finally {
                await each.stop();
            }
        }
    });

    test("the list links to every page with the token", async () => {
        const person = await Person.open(browser, `${server.origin}/gallery/?token=x`);
        const links = await person.page.locator(".cards a").evaluateAll((all) => all.map((link) => link.href));
        assert.deepEqual(links.map((link) => link.replace(`${server.origin}/gallery/`, "")).sort(), DEMOS.map((name) => `${name}?token=x`).sort());
        await person.close();
    });

    test("chat: messages, names, members; hostile text is text", () => withWindows("chat.html", [{}, {}], async (a, b) => {
        await a.page.fill("#name", "Ada <b>");
        await a.page.press("#name", "Tab");
        await say(a, '<img src=x onerror="window.hacked=1">');
        await heard(b, "<img src=x");
        assert.equal(await b.page.locator("#log li .name").textContent(), "Ada <b>");
        assert.equal(await b.page.locator("#log img, #log b").count(), 0);
        await say(b, "back");
        await heard(a, "back");
        assert.equal(await a.page.locator("#log li").count(), 2, "one's own message is shown once");
        await b.page.goto("about:blank");
        await a.page.getByText("1 here", { exact: true }).waitFor();
    }));

    test("chat: only lost and unsent lines are marked", async () => {
        const person = await Person.open(browser, "about:blank");
        const sockets = [];
        let sent = 0;
        let isOut = false;
        let confirm;
        const confirmed = new Promise((resolve) => (confirm = resolve));
        // The first connection reaches the server. The reconnect reaches only the test, which does not answer, so the room does
        // not open.
        await person.page.routeWebSocket(/\/ws/, (socket) => {
            if (sockets.push(socket) === 1) {
                const upstream = socket.connectToServer();
                const isAck = (packet) => packet.includes("roomer:ack");
                socket.onMessage((packet) => {
                    sent += !isAck(packet);
                    isOut ||= packet.includes("confirmed");
                    upstream.send(packet);
                });
                upstream.onMessage((packet) => {
                    socket.send(packet);
                    // An acknowledgement's payload, at its end, is the number of packets that the server has handled.
                    isAck(packet) && isOut && Number(/\d*$/.exec(packet.toString("latin1"))[0]) === sent && confirm();
                });
            }
        });
        await person.page.goto(`${server.origin}/gallery/chat.html`);
        await person.page.getByText("1 here", { exact: true }).waitFor();
        await say(person, "confirmed");
        await confirmed;
        await say(person, "in flight");
        await sockets[0].close({ code: 1012 });
        await person.page.locator("#state[data-state=suspended]").waitFor({ state: "attached" });
        await say(person, "meanwhile");
        await person.page.fill("#name", "confirmed");
        await person.page.press("#name", "Tab");
        await person.page.locator("#state[data-state=open]").waitFor({ state: "attached" });
        await sockets[1].close({ code: 4000 });
        await person.page.locator("#state[data-state=closed]").waitFor({ state: "attached" });
        assert.deepEqual(await person.page.locator("#log li.own").evaluateAll((lines) => lines.map((line) => [line.textContent, line.className, getComputedStyle(line, "::after").content])), [
            ["confirmed", "own sent", "none"],
            ["in flight", "own lost", '" – may not have arrived"'],
            ["meanwhile", "own dropped", '" – not sent"']
        ]);
        await person.close();
    });

    test("cursors: move, ring and disappear", () => withWindows("cursors.html", [{}, {}], async (a, b) => {
        const box = await a.page.locator("#field").boundingBox();
        await a.page.mouse.move(box.x + box.width / 2, box.y + box.height / 4, { steps: 3 });
        await b.page.locator(".cursor").waitFor();
        const at = (x, y) => b.page.waitForFunction(([x, y]) => {
            const [field, cursor] = ["#field", ".cursor"].map((each) => document.querySelector(each).getBoundingClientRect());
            return Math.abs(cursor.left - field.left - field.width * x) < 4 && Math.abs(cursor.top - field.top - field.height * y) < 4;
        }, [x, y]);
        await at(1 / 2, 1 / 4);
        const ring = b.page.evaluate(() => new Promise((resolve) => {
            new MutationObserver((changes) => changes.some(({ addedNodes }) => [...addedNodes].some((node) => node.className === "ripple")) && resolve(true))
                .observe(document.querySelector("#field"), { childList: true });
        }));
        await a.page.mouse.down();
        assert.ok(await ring);
        await a.page.mouse.up();
        await a.page.locator("#field").focus();
        await a.page.keyboard.press("ArrowDown");
        await a.page.keyboard.press("ArrowRight");
        await at(1 / 2 + 1 / 40, 1 / 4 + 1 / 40);
        await a.page.goto("about:blank");
        await b.page.locator(".cursor").waitFor({ state: "detached" });
    }));

    test("presence: profiles reach present and later members", () => withWindows("presence.html", [{}, {}], async (a, b) => {
        await a.page.fill("#name", "Ada");
        await a.page.fill("#mood", "reading");
        await a.page.press("#mood", "Tab");
        await b.page.locator("#people li", { hasText: "Adareading" }).waitFor();
        const late = await Person.open(browser, `${server.origin}/gallery/presence.html`);
        await late.page.locator("#people li", { hasText: "Adareading" }).waitFor();
        assert.equal(await late.page.locator("#people li").count(), 3);
        await late.close();
        await a.page.locator("#people li").nth(2).waitFor({ state: "detached" });
    }));

    test("counter: all clients converge to the same sum", () => withWindows("counter.html", [{}, {}], async (a, b) => {
        await Promise.all([a, b].map(async ({ page }) => {
            for (let n = 0; n < 5; n++) {
                await page.click("#more");
            }
        }));
        await b.page.click("#less");
        await Promise.all([total(a, 9), total(b, 9)]);
        const late = await Person.open(browser, `${server.origin}/gallery/counter.html`);
        await total(late, 9);
        await late.close();
    }));

    test("without scripts each page shows its requirements", async () => {
        for (const name of DEMOS) {
            const person = await Person.open(browser, `${server.origin}/gallery/${name}`, { javaScriptEnabled: false });
            assert.ok(await person.page.locator("noscript p", { hasText: "allow JavaScript" }).isVisible(), name);
            await person.close();
        }
    });

    for (const colorScheme of ["light", "dark"]) {
        test(`contrast is at least 4.5:1 in ${colorScheme} mode`, async () => {
            for (const name of PAGES) {
                const page = name === "index.html" ? "" : name;
                const windows = await Promise.all([{ colorScheme, reducedMotion: "reduce" }, {}].map((options) => Person.open(browser, `${server.origin}/gallery/${page}`, options)));
                const [a, b] = windows;
                if (page) {
                    await Promise.all(windows.map((each) => each.page.getByText("2 here", { exact: true }).waitFor()));
                }
                if (page === "chat.html") {
                    await say(b, "hello");
                    await say(a, "own");
                    await heard(a, "hello");
                    await a.page.evaluate(() => ["own queued", "own lost"].forEach((kind) => (document.querySelector("#log ol").appendChild(document.createElement("li")).append(kind), (document.querySelector("#log li:last-child").className = kind))));
                } else if (page === "cursors.html") {
                    await b.page.locator("#field").click();
                    await a.page.locator(".cursor").waitFor();
                } else if (page === "presence.html") {
                    await a.page.locator("#people li").nth(1).waitFor();
                    await a.page.evaluate(() => document.querySelector("#people li").classList.add("away"));
                }
                if (page === "counter.html") {
                    await a.page.click("#plug");
                    await a.page.click("#more");
                    await a.page.locator("#waiting", { hasText: "1 click waits" }).waitFor();
                }
                const { seen, faint } = await faintTexts(a.page);
                assert.ok(seen > 4, `${name}: ${seen} texts`);
                assert.deepEqual(faint, [], name);
                await Promise.all(windows.map((each) => each.close()));
            }
        });
    }

    test("1,000 messages, moves, joins and counts need one layout per frame", async (t) => {
        for (const [page, room, event, payload, last] of [
            ["chat.html", "gallery chat", "chat", (n) => `message ${n}`, ["#log li", "message 1000"]],
            ["presence.html", "gallery presence", undefined, undefined, ["#count", /^1002 here$/]],
            ["counter.html", "gallery counter", "counts", (n) => ({ [`who${n % 9}`]: [n, 0] }), ["#total", /^8964$/]],
            ["cursors.html", "gallery cursors", "move", (n) => [n / 2000, 0.5], [".cursor[style*='50cqw']", ""]]
        ]) {
            const person = await Person.open(browser, `${server.origin}/gallery/${page}`);
            await person.page.getByText("1 here", { exact: true }).waitFor();
            const author = await guest(server, room);
            const guests = [author];
            await person.page.getByText("2 here", { exact: true }).waitFor();
            judge(t, page, await costs(person, async () => {
                for (let n = 1; event && n <= 1_000; n++) {
                    author.say(event, JSON.stringify(payload(n)));
                }
                event || guests.push(...await crowd(server, room, 1_000));
                await person.page.locator(last[0], { hasText: last[1] }).waitFor({ state: "attached" });
            }));
            assert.ok(page !== "chat.html" || await person.page.locator("#log li").count() === 300);
            guests.forEach((each) => each.close());
            await person.close();
        }
    });

    for (const [what, options] of [["a phone", PHONE], ["a phone in the dark", { ...PHONE, colorScheme: "dark" }], ["a desk", {}]]) {
        test(`the layout fits ${what}`, async () => {
            for (const name of PAGES) {
                const person = await Person.open(browser, `${server.origin}/gallery/${name === "index.html" ? "" : name}`, options);
                const [content, window] = await widths(person);
                assert.ok(content <= window, `${name}: ${content} wide in ${window}`);
                assert.deepEqual(person.errors, []);
                await person.close();
            }
        });
    }
});

describe("screenshots", { skip: process.env.UPDATE_SCREENSHOTS !== "1" && "only with UPDATE_SCREENSHOTS=1", timeout: 300_000 }, () => {
    const DESK = { viewport: { width: 900, height: 600 } };

    before(async () => {
        server = await startServer();
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    /** Takes a screenshot of the first window in the layout for desktops, or of the last window in the layout for phones. */
    async function shoot(name, ...windows) {
        await windows[0].page.evaluate(() => document.activeElement.blur());
        await windows[0].page.screenshot({ path: gallery(`${name}.png`) });
        await windows.at(-1).page.screenshot({ path: gallery(`${name}-phone.png`) });
    }

    /** Sets the windows' names, and waits until all windows show them. */
    async function introduce(names, windows) {
        for (const [n, { page }] of windows.entries()) {
            await page.fill("#name", names[n]);
            await page.press("#name", "Tab");
        }
    }

    const ONE = [DESK, {}, { ...PHONE, colorScheme: "dark" }];

    test("of the chat", () => withWindows("chat.html", ONE, async (...windows) => {
        const [mia, ada, noor] = windows;
        await introduce(["Mia", "Ada", "Noor"], windows);
        for (const [who, text] of [
            [ada, "Morning! I have pulled the plug on the server."],
            [mia, "I noticed: the page said suspended, for two seconds."],
            [noor, "And here on the bus I noticed nothing at all 🚌"],
            [mia, "What I wrote meanwhile went out as soon as it was back."],
            [ada, "Then I shall do it again at lunch."]
        ]) {
            await say(who, text);
            await Promise.all(windows.filter((window) => window !== who).map((window) => heard(window, text)));
        }
        await shoot("chat", ...windows);
    }));

    test("of the cursors", () => withWindows("cursors.html", [DESK, {}, {}, {}, { ...PHONE, colorScheme: "dark" }], async (...windows) => {
        const places = [[0.5, 0.5], [0.2, 0.3], [0.72, 0.22], [0.62, 0.7], [0.3, 0.75]];
        for (const [n, { page }] of windows.entries()) {
            const box = await page.locator("#field").boundingBox();
            await page.mouse.move(box.x + box.width * places[n][0], box.y + box.height * places[n][1]);
        }
        for (const { page } of windows) {
            await page.locator(".cursor").nth(3).waitFor();
            await page.addStyleTag({ content: ".cursor { transition: none } .ripple { animation-play-state: paused; transform: scale(3.5); opacity: .5 }" });
        }
        const box = await windows[2].page.locator("#field").boundingBox();
        await windows[2].page.mouse.click(box.x + box.width * 0.72, box.y + box.height * 0.22);
        await Promise.all([windows[0], windows.at(-1)].map(({ page }) => page.locator(".ripple").waitFor()));
        await shoot("cursors", ...windows);
    }));

    test("of the presence list", () => withWindows("presence.html", [DESK, {}, {}, {}, {}, PHONE], async (...windows) => {
        const moods = ["drawing the map", "on the phone with Oslo", "tea", "", "reviewing", "on the bus"];
        await introduce(["Mia", "Ada", "Grace", "Linus", "Wren", "Noor"], windows);
        for (const [n, { page }] of windows.entries()) {
            await page.fill("#mood", moods[n]);
            await page.press("#mood", "Tab");
        }
        await windows[3].page.evaluate(() => {
            Object.defineProperty(document, "hidden", { value: true });
            document.dispatchEvent(new Event("visibilitychange"));
        });
        for (const { page } of [windows[0], windows.at(-1)]) {
            await page.locator("#people li", { hasText: "on the bus" }).waitFor();
            await page.locator("#people .away").waitFor();
        }
        await shoot("presence", ...windows);
    }));

    test("of the counter", () => withWindows("counter.html", [DESK, {}, {}, PHONE], async (...windows) => {
        for (const [n, clicks] of [17, 9, 5, 13].entries()) {
            for (let click = 0; click < clicks; click++) {
                await windows[n].page.click("#more");
            }
        }
        await windows[2].page.click("#less");
        await Promise.all(windows.map((window) => total(window, 43)));
        const phone = windows.at(-1).page;
        await phone.click("#plug");
        for (let click = 0; click < 3; click++) {
            await phone.click("#more");
        }
        await phone.locator("#waiting", { hasText: "3 clicks wait" }).waitFor();
        await phone.locator("#state[data-state=suspended]").waitFor();
        await windows[0].page.mouse.move(0, 0);
        await shoot("counter", ...windows);
    }));
});
