/** Tests of the chat page's accessibility, and of links, whose text is untrusted.
 *
 * The tests of accessibility cover contrast, the keyboard, pages without scripts, and reduced motion.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";
import { faintTexts } from "./contrast.js";
import { crowd } from "./guests.js";
import { Person, launch } from "./support.js";

const PHONE = { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true };

let browser;
let server;

async function open(room, options) {
    const person = await Person.open(browser, `${server.origin}/?room=${room}`, options);
    person.id = await person.inRoom(room);
    return person;
}

const focused = (person, read) => person.page.evaluate(`(${read})(document.activeElement)`);
const members = (person, count) => person.page.locator("#member-count", { hasText: `· ${count}` }).waitFor();

describe("accessibility of the chat page", { timeout: 300_000 }, () => {
    before(async () => {
        server = await startServer();
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    for (const colorScheme of ["light", "dark"]) {
        test(`contrast is at least 4.5:1 in ${colorScheme} mode`, async () => {
            const port = new URL(server.origin).port;
            const a = await open("contrast", { colorScheme, reducedMotion: "reduce" });
            const b = await open("contrast", { colorScheme });
            // In the list, these names sort before the names generated for guests.
            await a.setNick("Aaron");
            await b.setNick("Aaltje");
            const guests = await crowd(server, "contrast", 60);
            await members(a, 62);
            await b.say("see https://example.org/");
            await b.whisperTo(a.id, "a secret");
            await a.say("my own");
            await a.whisperTo(b.id, "my own secret");
            await a.message("a secret", "whisper").waitFor();
            const check = async (what) => {
                const { seen, faint } = await faintTexts(a.page);
                assert.ok(seen > 20, `${seen} texts`);
                assert.deepEqual(faint, [], what);
            };
            await a.page.locator(".fate", { hasText: "Seen" }).waitFor();
            await eventually("the indicator", () => (guests[0].say("typing", "on"), a.page.locator("#typing .name").count()));
            await check("in a room");
            await a.page.locator("#members [data-id]").nth(3).hover();
            await check("over a member");
            await a.page.click(`#members [data-id="${b.id}"]`);
            await a.page.locator("#whisper").waitFor();
            await check("whispering");
            await a.page.keyboard.press("Escape");
            // The color depends on the name: check all colors, on each background on which a name may appear.
            await a.page.evaluate(() => {
                for (const line of [...document.querySelectorAll(".message"), document.querySelector("#members .row")]) {
                    for (let hue = 0; hue < 360; hue += 5) {
                        for (const kind of ["name", "face"]) {
                            const sample = document.createElement("span");
                            sample.className = kind;
                            sample.style.setProperty("--hue", hue);
                            sample.textContent = `${kind} ${hue}`;
                            // The user's own messages have a head, and therefore a name, only if they are whispers.
                            (line.querySelector(".label") ?? line.querySelector(".head, .who"))?.append(sample);
                        }
                    }
                }
            });
            await check("names of all colours");
            guests.forEach((each) => each.close());
            await members(a, 2);
            await server.stop();
            await a.page.locator("#banner").waitFor();
            await a.say("waits");
            await a.page.locator(".fate", { hasText: "waits" }).waitFor();
            await check("without a connection");
            server = await startServer("--listen", `127.0.0.1:${port}`, "--auth-token", "x");
            await a.page.locator("#again").waitFor();
            await check("refused");
            await server.stop();
            server = await startServer("--listen", `127.0.0.1:${port}`);
            const fresh = await Person.open(browser, server.origin, { colorScheme });
            await fresh.page.locator("#connection-text", { hasText: /^connected$/ }).waitFor();
            const { faint } = await faintTexts(fresh.page);
            assert.deepEqual(faint, [], "the welcome");
            await Promise.all([a, b, fresh].map((each) => each.close()));
        });
    }

    test("the member list is one tab stop with arrow, letter and Enter keys", async () => {
        const guests = await crowd(server, "list", 300);
        const person = await open("list");
        await members(person, 301);
        const { page } = person;
        await page.locator("#log").focus();
        const stops = [];
        for (let n = 0; n < 12; n++) {
            await page.keyboard.press("Tab");
            stops.push(await focused(person, (element) => element.closest("#members") ? "members" : element.id));
        }
        assert.equal(stops.filter((stop) => stop === "members").length, 1, stops.join());
        await page.locator("#members [tabindex='0']").focus();
        const position = () => focused(person, (element) => Number(element.getAttribute("aria-posinset")));
        assert.equal(await position(), 1);
        // The first row is the user's own, which cannot be selected: type an initial that finds another row.
        const initial = await focused(person, (element) => element.querySelector(".name").textContent.startsWith("S")) ? "B" : "S";
        for (const [key, wanted] of [["ArrowDown", 2], ["ArrowDown", 3], ["ArrowUp", 2], ["End", 301], ["ArrowDown", 301], ["Home", 1], ["ArrowUp", 1]]) {
            await page.keyboard.press(key);
            assert.equal(await position(), wanted, key);
        }
        await page.keyboard.press("PageDown");
        assert.ok(await position() > 5);
        await page.keyboard.press("End");
        await page.waitForFunction(() => {
            const [row, list] = [document.activeElement, document.querySelector("#members")].map((each) => each.getBoundingClientRect());
            return row.bottom <= list.bottom + 1 && row.top >= list.top - 1;
        });
        await page.keyboard.type(initial.toLowerCase());
        assert.ok((await focused(person, (element) => element.querySelector(".name").textContent)).startsWith(initial));
        const chosen = await focused(person, (element) => element.dataset.id);
        await page.keyboard.press("Enter");
        await page.locator("#whisper-text", { hasText: "Only" }).waitFor();
        assert.equal(await focused(person, (element) => element.id), "message");
        // The list updates in the next frame.
        await page.locator(`#members [data-id="${chosen}"][aria-selected=true]`).waitFor({ state: "attached" });
        // If the focused member leaves, the focus moves to another one.
        await page.locator("#members [tabindex='0']").focus();
        guests.forEach((each) => each.close());
        await members(person, 1);
        await page.waitForFunction(() => document.activeElement.matches("#members [data-id]"));
        assert.deepEqual(person.errors, []);
        await person.close();
    });

    test("only links in messages are tab stops", async () => {
        const [a, b] = [await open("stops"), await open("stops")];
        for (let n = 0; n < 5; n++) {
            await b.say(`message ${n}`);
        }
        await b.say("https://example.org/here");
        await a.message("example.org").waitFor();
        await a.page.locator("#log").focus();
        await a.page.keyboard.press("Tab");
        assert.equal(await focused(a, (element) => element.href), "https://example.org/here");
        await a.page.keyboard.press("Tab");
        assert.equal(await focused(a, (element) => element.id), "message");
        await Promise.all([a.close(), b.close()]);
    });

    test("only URLs in messages become links", async () => {
        const [a, b] = [await open("links"), await open("links")];
        const links = async (text) => {
            await b.say(text);
            const message = a.page.locator("#log ol:not([hidden]) .message").last();
            await message.locator(".text", { hasText: text }).waitFor();
            assert.equal(await message.locator(".text").textContent(), text, "the text stays as it was");
            return message.locator("a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
        };
        assert.deepEqual(await links("see https://example.org/a?b=c#d."), ["https://example.org/a?b=c#d"]);
        assert.deepEqual(await links("(http://example.org/x_(y)), or HTTPS://EXAMPLE.org!"), ["http://example.org/x_(y)", "https://example.org/"]);
        for (const text of [
            "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "https://", "http://[", "ftp://example.org/", "https://bank.example@evil.example/",
            "xhttps://example.org", "file:///etc/passwd"
        ]) {
            assert.deepEqual(await links(text), [], text);
        }
        assert.deepEqual(await links('https://example.org/"onmouseover="alert(1)'), ["https://example.org/"]);
        const link = a.page.locator(".message a").first();
        assert.deepEqual([await link.getAttribute("target"), await link.getAttribute("rel")], ["_blank", "noopener noreferrer nofollow"]);
        assert.deepEqual(a.errors, []);
        await Promise.all([a.close(), b.close()]);
    });

    test("without scripts the page shows its requirements", async () => {
        for (const options of [{}, PHONE]) {
            const person = await Person.open(browser, server.origin, { javaScriptEnabled: false, ...options });
            assert.ok(await person.page.locator("noscript p", { hasText: "allow JavaScript" }).isVisible());
            await person.close();
        }
    });

    test("prefers-reduced-motion disables animations", async () => {
        const [a, b] = [await open("still", { reducedMotion: "reduce" }), await open("still")];
        await b.say("hello");
        await a.message("hello").waitFor();
        assert.deepEqual(await a.page.evaluate(() => document.getAnimations().length), 0);
        await Promise.all([a.close(), b.close()]);
    });

    test("a name survives reloads, and a chosen one new windows", async () => {
        const person = await open("again");
        const invented = await person.page.inputValue("#nick");
        await person.page.reload();
        await person.inRoom("again");
        assert.equal(await person.page.inputValue("#nick"), invented);
        await person.setNick("Mia");
        const second = await person.page.context().newPage();
        await second.goto(person.page.url());
        assert.equal(await second.inputValue("#nick"), "Mia");
        await person.close();
    });
});
