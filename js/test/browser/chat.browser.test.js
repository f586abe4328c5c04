/** Tests of the chat page in a real browser with the real server.
 *
 * With UPDATE_SCREENSHOTS=1, also takes the screenshots for the README.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startServer } from "../support/server.js";
import { Person, launch } from "./support.js";

const PHONE = { viewport: { width: 375, height: 667 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const picture = (name) => fileURLToPath(new URL(`../../chat/${name}`, import.meta.url));

let browser;
let server;

/** Opens windows in one room, waits until each lists all others, runs the test, and closes them. */
async function withPeople(room, optionsOfEach, body) {
    const people = [];
    try {
        for (const options of optionsOfEach) {
            const person = await Person.open(browser, `${server.origin}/?room=${room}`, options);
            people.push(person);
            person.id = await person.inRoom(room);
        }
        for (const person of people) {
            await person.member(people.at(-1).id).waitFor({ state: "attached" });
        }
        await body(...people);
        for (const person of people) {
            assert.deepEqual(person.errors, [], "nothing on the console");
        }
    } finally {
        await Promise.all(people.map((person) => person.close()));
    }
}

/** Waits until a condition on the page is true. Fails after playwright's timeout. */
const eventually = (person, condition, argument) => person.page.waitForFunction(condition, argument);

const widths = (person) => person.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);

describe("the chat page", { timeout: 300_000 }, () => {
    before(async () => {
        server = await startServer();
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    test("two tabs join, chat and leave", () => withPeople("lobby", [{}, {}], async (a, b) => {
        assert.notEqual(a.id, b.id);
        await b.member(a.id).waitFor();
        assert.deepEqual([await a.page.locator("#members [data-id]").count(), await b.page.locator("#members [data-id]").count()], [2, 2]);
        await a.notice(/(?<!You) joined/).waitFor();
        await a.page.locator("#room-info", { hasText: /^2 here$/ }).waitFor();

        await a.say("hello from a");
        await b.message("hello from a").waitFor();
        assert.equal(await b.message("hello from a").getAttribute("data-src"), a.id);
        assert.match(await b.message("hello from a").locator("time").textContent(), /^\d\d:\d\d$/);
        await b.say("hello from b");
        await a.message("hello from b").waitFor();
        assert.equal(await a.message("hello from a").count(), 1, "one's own message is shown once");
        assert.equal(await a.page.inputValue("#message"), "");

        await b.close();
        await a.notice(/ left/).waitFor();
        await a.member(b.id).waitFor({ state: "detached" });
        await a.page.locator("#room-info", { hasText: /^1 here$/ }).waitFor();
    }));

    test("a whisper is marked and invisible to other members", () => withPeople("secrets", [{}, {}, {}], async (a, b, c) => {
        await a.whisperTo(b.id, "just for you");
        await b.message("just for you", "whisper").waitFor();
        assert.match(await b.message("just for you", "whisper").textContent(), /whisper to you/);
        assert.equal(await b.message("just for you", "whisper").getAttribute("data-src"), a.id);
        await a.message("just for you", "whisper").waitFor();
        await a.say("and this for all");
        await c.message("and this for all").waitFor();
        assert.equal(await c.page.locator("text=just for you").count(), 0);
    }));

    test("a whisper to a departed member is not sent", () => withPeople("gone", [{}, {}, {}], async (a, b, c) => {
        await a.page.click(`#members [data-id="${b.id}"]`);
        await a.page.fill("#message", "private");
        await b.close();
        await a.member(b.id).waitFor({ state: "detached" });
        await a.page.locator("#whisper-text", { hasText: "not here any more" }).waitFor();
        await a.page.press("#message", "Enter");
        assert.equal(await a.page.inputValue("#message"), "private");
        await a.page.keyboard.press("Escape");
        await a.say("public");
        await c.message("public").waitFor();
        assert.equal(await c.page.locator("text=private").count(), 0);
    }));

    test("hostile text is shown as text", () => withPeople("hostile", [{}, {}], async (a, b) => {
        const hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
        await a.setNick("<b>bold</b>");
        await a.say(hostile);
        await b.message("<img").waitFor();
        assert.equal(await b.message("<img").locator(".text").textContent(), hostile);
        await eventually(b, (id) => document.querySelector(`#members [data-id="${id}"] .name`).textContent === "<b>bold</b>", a.id);
        for (const person of [a, b]) {
            assert.equal(await person.page.locator("#log img, #log script, #log b, #members b").count(), 0);
            assert.equal(await person.page.evaluate(() => "hacked" in window), false);
        }
    }));

    test("long messages and stacked combining marks stay within their box", () => withPeople("tall", [{}, PHONE], async (a, phone) => {
        await a.say(`first${"\n".repeat(3_000)}last`);
        await a.say(`mark${"\u0301".repeat(500)}`);
        await a.say("after");
        for (const { page } of [a, phone]) {
            const [tall, marked, next] = [page.locator(".message.tall"), page.locator(".message", { hasText: "mark" }), page.locator(".message", { hasText: "after" })];
            await next.waitFor();
            const { height } = page.viewportSize();
            assert.ok((await tall.boundingBox()).height < height, "the message is higher than the window");
            assert.equal(await tall.locator(".text").evaluate((text) => {
                text.scrollTop = 1e6;
                return text.scrollTop > 10_000;
            }), true, "its end can be scrolled to");
            assert.equal(await marked.locator(".text").evaluate((text) => getComputedStyle(text).overflowY), "clip");
        }
    }));

    test("nicknames reach present and later members", () => withPeople("names", [{}, {}], async (a, b) => {
        const made = await b.member(a.id).locator(".name").textContent();
        assert.match(made, /^[A-Z][a-z]+ [A-Z][a-z]+$/, "a name made from the id until there is a nickname");
        await a.setNick("Ada\u202e  Lovelace");
        await eventually(b, (id) => document.querySelector(`#members [data-id="${id}"] .name`).textContent === "Ada Lovelace", a.id);
        const late = await Person.open(browser, `${server.origin}/?room=names`);
        await late.inRoom("names");
        await late.page.locator(`#members [data-id="${a.id}"] .name`, { hasText: "Ada Lovelace" }).waitFor();
        assert.match(await late.member(b.id).locator(".name").textContent(), /^[A-Z][a-z]+ [A-Z][a-z]+$/);
        await late.close();
        await a.setNick("Countess");
        await b.notice("is now Countess").waitFor();
    }));

    test("several rooms have unread counts and URLs, and can be left", () => withPeople("one", [{}, {}], async (a, b) => {
        for (const person of [a, b]) {
            await person.page.fill("#room-input", "two & <2>");
            await person.page.press("#room-input", "Enter");
            await person.inRoom("two & <2>");
        }
        await a.page.click('[data-room="one"] .room-open');
        assert.equal(new URL(a.page.url()).searchParams.get("room"), "one");
        await b.say("are you there?");
        await a.page.locator('[data-room="two & <2>"] .badge', { hasText: "1" }).waitFor();
        await eventually(a, () => document.title.startsWith("(1) #one"));
        await a.page.click('[data-room="two & <2>"] .room-open');
        await a.message("are you there?").waitFor();
        await a.page.locator('[data-room="two & <2>"] .badge').waitFor({ state: "hidden" });
        await a.page.click('[data-room="two & <2>"] .room-leave');
        await b.notice(/ left/).waitFor();
        await eventually(a, () => document.querySelector("#room-title").textContent === "one");
        await a.page.fill("#room-input", "two & <2>");
        await a.page.press("#room-input", "Enter");
        await a.inRoom("two & <2>");
        await b.say("welcome back");
        await a.message("welcome back").waitFor();
    }));

    test("everything works by keyboard", () => withPeople("keys", [{}, {}], async (a, b) => {
        const { page } = a;
        await page.locator("#room-input").focus();
        await page.keyboard.press("Tab");
        await page.keyboard.press("Tab");
        assert.equal(await page.evaluate(() => document.activeElement.closest("[data-room]").dataset.room), "keys");
        await page.locator(`#members [data-id="${b.id}"]`).focus();
        await page.keyboard.press("Enter");
        assert.equal(await page.evaluate(() => document.activeElement.id), "message");
        await page.keyboard.type("by keyboard");
        await page.keyboard.press("Enter");
        await b.message("by keyboard", "whisper").waitFor();
        await page.keyboard.press("Escape");
        await eventually(a, () => document.querySelector("#composer").dataset.mode === "chat");
    }));

    test("the layout fits a phone, and the drawers work", () => withPeople("phone", [PHONE, {}], async (phone, other) => {
        const { page } = phone;
        const fits = async (what) => {
            const [content, window] = await widths(phone);
            assert.ok(content <= window, `${what}: ${content} wide in ${window}`);
        };
        await other.say("x".repeat(500));
        await other.say("short");
        await phone.message("short").waitFor();
        await fits("the room");
        await page.tap("#people-button");
        await phone.member(other.id).waitFor();
        await fits("who is here");
        await page.tap(`#members [data-id="${other.id}"]`);
        assert.equal(await page.locator("#people-panel").isVisible(), false);
        await phone.say("from the phone");
        await other.message("from the phone", "whisper").waitFor();
        await page.tap("#rooms-button");
        await page.locator("#room-input").waitFor();
        await fits("the rooms");
        await page.tap('[data-room="phone"] .room-leave');
        await page.locator("#welcome").waitFor();
        await fits("the welcome");
        await page.tap('[data-join="kitchen"]');
        await phone.inRoom("kitchen");
    }));

    test("a wide room name and a long nickname do not break the layout", () => withPeople("w".repeat(64), [{}, PHONE], async (a, phone) => {
        await a.setNick("W".repeat(24));
        await a.say("hello");
        await phone.message("hello").waitFor();
        for (const person of [a, phone]) {
            const [content, window] = await widths(person);
            assert.ok(content <= window);
        }
    }));

    test("a member's name uses the width of the row, except for the lock on hover", () => withPeople("lock", [{}, {}], async (a, b) => {
        const row = a.member(b.id);
        await row.waitFor();
        const widthOfWho = () => row.locator(".who").evaluate((who) => who.offsetWidth);
        const whole = await row.evaluate((each) => each.clientWidth - each.querySelector(".who").offsetLeft - parseFloat(getComputedStyle(each).paddingRight));
        assert.equal(await widthOfWho(), whole);
        await row.hover();
        assert.ok(await widthOfWho() <= whole - 16, "the lock does not cover the name");
    }));
});

describe("connection states of the chat page", { timeout: 300_000 }, () => {
    before(async () => {
        browser = await launch();
    });
    after(() => browser?.close());

    test("the page sends the token of its URL, and explains a missing one", async () => {
        server = await startServer("--auth-token", "s3cret&more");
        const inside = await Person.open(browser, `${server.origin}/?room=lobby&token=s3cret%26more`);
        await inside.inRoom("lobby");
        assert.equal(await inside.page.getAttribute("#connection", "data-state"), "open");
        assert.equal(new URL(inside.page.url()).searchParams.get("token"), "s3cret&more");
        const outside = await Person.open(browser, `${server.origin}/?room=lobby`);
        await outside.page.locator("#connection[data-state=closed]").waitFor();
        await outside.page.locator("#banner-text", { hasText: "wrong or missing token" }).waitFor();
        assert.ok(await outside.page.locator("#again", { hasText: "Connect again" }).isVisible());
        assert.ok(await outside.page.locator("#send").isDisabled());
        await server.stop();
        server = await startServer("--listen", `127.0.0.1:${new URL(server.origin).port}`);
        await outside.page.click("#again");
        await outside.inRoom("lobby");
        await inside.notice("You are back").waitFor();
        await Promise.all([inside.close(), outside.close()]);
        await server.stop();
    });

    test("an oversized message is reported and its text kept", async (t) => {
        server = await startServer("--max-message", "500");
        t.after(() => server.kill());
        const person = await Person.open(browser, `${server.origin}/?room=lobby`);
        await person.inRoom("lobby");
        const long = "word ".repeat(200).trim();
        await person.say(long);
        await person.notice("Not sent: this message is too long for the server").waitFor();
        assert.deepEqual([await person.page.inputValue("#message"), await person.message("word").count()], [long, 0]);
        await person.say("short");
        await person.message("short").waitFor();
        assert.deepEqual([await person.page.inputValue("#message"), person.errors], ["", []]);
        await person.close();
    });

    test("the page reconnects after a server restart, and names are kept", async (t) => {
        server = await startServer();
        t.after(() => server.kill());
        const { port } = new URL(server.origin);
        const person = await Person.open(browser, `${server.origin}/?room=lobby`);
        const before = await person.inRoom("lobby");
        const other = await Person.open(browser, `${server.origin}/?room=lobby`);
        await other.inRoom("lobby");
        const name = await person.page.locator("#nick").inputValue();
        await person.say("before");
        await other.message("before").waitFor();
        await other.page.locator("#members .name", { hasText: name }).waitFor();
        await server.stop();
        await person.page.locator("#connection-text", { hasText: "reconnecting" }).waitFor();
        await person.page.locator("#banner-text", { hasText: "The connection is lost" }).waitFor();
        assert.equal(await person.page.locator("#again").isVisible(), false, "nothing to be done by hand");
        await person.say("meanwhile");
        await person.message("meanwhile").locator(".fate", { hasText: "waits" }).waitFor();
        server = await startServer("--listen", `127.0.0.1:${port}`);
        await person.notice("You are back in a new session; some messages may be missing").waitFor();
        await person.message("meanwhile").locator(".fate").waitFor({ state: "hidden" });
        assert.notEqual(await person.inRoom("lobby"), before);
        assert.equal(await person.page.locator("#banner").isVisible(), false);
        assert.equal(await person.page.locator("#nick").inputValue(), name);
        await other.message("meanwhile").waitFor();
        assert.equal(await person.message("before").count(), 1, "the log is kept");
        await other.page.locator("#members .name", { hasText: name }).waitFor();
        await person.say("after");
        await other.message("after").waitFor();
        await eventually(other, () => [...document.querySelectorAll("[data-kind=people]")].every((line) => line.textContent.length <= 5));
        await Promise.all([person.close(), other.close()]);
        await server.stop();
    });

    test("unsent messages are marked when the connection closes for good", async () => {
        server = await startServer();
        const person = await Person.open(browser, "about:blank");
        let first;
        let again;
        const second = new Promise((resolve) => (again = resolve));
        // The first connection reaches the server. The reconnect reaches only the test, which does not answer, so the room does
        // not open.
        await person.page.routeWebSocket(/\/ws/, (socket) => (first ? again(socket) : (first = socket).connectToServer()));
        await person.page.goto(`${server.origin}/?room=lobby`);
        await person.inRoom("lobby");
        await first.close({ code: 1012 });
        await person.page.locator("#connection-text", { hasText: "reconnecting" }).waitFor();
        await person.say("meanwhile");
        await person.message("meanwhile").locator(".fate", { hasText: "waits" }).waitFor();
        await (await second).close({ code: 4000 });
        await person.message("meanwhile").locator(".fate", { hasText: "was not sent" }).waitFor();
        await person.close();
        await server.stop();
    });
});

describe("screenshots", { skip: process.env.UPDATE_SCREENSHOTS !== "1" && "only with UPDATE_SCREENSHOTS=1", timeout: 300_000 }, () => {
    before(async () => {
        server = await startServer();
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    test("of a room with several people", () => withPeople("lobby", [{}, {}, {}, { ...PHONE, colorScheme: "dark" }, {}], async (me, ada, grace, phone, linus) => {
        for (const [person, nick] of [[me, "Mia"], [ada, "Ada"], [grace, "Grace"], [phone, "Noor"]]) {
            person === phone && await person.page.tap("#rooms-button");
            await person.setNick(nick);
        }
        await phone.page.tap("#rooms-panel .close");
        await phone.page.evaluate(() => document.activeElement.blur());
        await me.page.locator("#members .name", { hasText: "Grace" }).waitFor();
        const line = async (person, text) => {
            await person.say(text);
            await me.message(text.slice(0, 20)).waitFor();
            await phone.message(text.slice(0, 20)).waitFor();
        };
        await line(ada, "Morning! Is the new server up yet?");
        await line(me, "For ten minutes now 🎉 Three rooms, five people, not a single hiccup.");
        await line(grace, "I open the page and everybody sees me come in. Nice!");
        await line(grace, "And nobody hears a thing of a room they are not in.");
        await ada.whisperTo(me.id, "Shall we surprise Grace with a cake at four?");
        await me.message("Shall we", "whisper").waitFor();
        await me.whisperTo(ada.id, "Yes! I will fetch plates.");
        await ada.message("I will fetch", "whisper").waitFor();
        await linus.close();
        await me.notice(/ left/).waitFor();
        await line(phone, "Reading this on the bus, works fine here too.");
        await line(ada, "Then let us move the planning to #kitchen.");
        await ada.page.fill("#room-input", "kitchen");
        await ada.page.press("#room-input", "Enter");
        await ada.inRoom("kitchen");
        await me.page.fill("#room-input", "kitchen");
        await me.page.press("#room-input", "Enter");
        await me.inRoom("kitchen");
        await me.page.fill("#room-input", "music");
        await me.page.press("#room-input", "Enter");
        await me.inRoom("music");
        await me.page.click('[data-room="lobby"] .room-open');
        await ada.say("Four o'clock it is.");
        await me.page.locator('[data-room="kitchen"] .badge').waitFor();
        await grace.page.fill("#message", "And I");
        await Promise.all([me, phone].map(({ page }) => page.locator("#typing", { hasText: "Grace is typing" }).waitFor()));
        await me.page.locator(".fate", { hasText: "Seen" }).waitFor();
        await me.page.evaluate(() => document.activeElement.blur());
        await me.page.screenshot({ path: picture("screenshot.png") });
        await phone.page.screenshot({ path: picture("screenshot-phone.png") });
    }));
});
