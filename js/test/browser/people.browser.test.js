/** Tests of the chat page and the counter with sessions.
 *
 * They cover names stored as info, typing indicators, receipts, a room's history, and an unplugged network cable.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { record } from "../support/kit.js";
import { startProxy } from "../support/proxy.js";
import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";
import { crowd } from "./guests.js";
import { Person, launch, total } from "./support.js";

let browser;
let server;
let proxy;

/** Opens the chat page in a room. With a name, sets it and waits until the server has stored it as info. */
async function enter(room, name, origin = server.origin) {
    const person = await Person.open(browser, `${origin}/?room=${room}`);
    person.id = await person.inRoom(room);
    name && await person.setNick(name);
    return person;
}

/** Connects a client of this test process that observes a room. */
function observe(t, room) {
    const client = connect(server.url, { codec: "json", WebSocket });
    t.after(() => client.close());
    return { client, room: client.join(room) };
}

const shown = (person, selector, text) => person.page.locator(selector, { hasText: text }).waitFor();
const nameOf = (person, id) => person.member(id).locator(".name").textContent();
const named = (person, id, name) => eventually(`the name ${name}`, async () => await nameOf(person, id) === name);

/**
 * Waits until a page shows the expected typing indicator. Since an indicator expires after 8 s, `type` is called again if a slow
 * machine takes longer than that.
 */
function indicator({ page }, wanted, type) {
    let typedAt = -Infinity;
    return eventually(`the indicator ${wanted}`, async () => {
        if (type && performance.now() - typedAt > 5_000) {
            await type();
            typedAt = performance.now();
        }
        const text = await page.locator("#typing").textContent();
        return typeof wanted === "string" ? text === wanted : wanted.test(text);
    });
}

/** Types a text without sending it. */
async function write({ page }, text) {
    await page.fill("#message", "");
    await page.fill("#message", text);
}

describe("people in sessions", { timeout: 300_000 }, () => {
    before(async () => {
        server = await startServer();
        proxy = await startProxy(new URL(server.origin).port);
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await proxy?.close();
        await server?.stop();
    });

    test("names are stored in member info and survive a lost network", async (t) => {
        const { room } = observe(t, "names");
        const ann = await enter("names", "Ann", `http://127.0.0.1:${proxy.port}`);
        const bob = await enter("names", "Bob");
        await Promise.all([named(ann, bob.id, "Bob"), named(bob, ann.id, "Ann")]);
        await eventually("the info is the name", () => room.member(ann.id)?.info?.name === "Ann");
        await ann.setNick("Anna");
        await bob.notice("Ann is now Anna").waitFor();
        const changes = record(room, "new_member", "member_left", "reopen");
        proxy.drop();
        await shown(ann, "#connection-text", "reconnecting");
        await ann.say("written meanwhile");
        await ann.message("written meanwhile").locator(".fate", { hasText: "waits" }).waitFor();
        await bob.say("nothing of this is lost");
        proxy.resume();
        await bob.message("written meanwhile").waitFor();
        await ann.message("nothing of this is lost").waitFor();
        await shown(ann, "#connection-text", /^connected$/);
        await ann.message("written meanwhile").locator(".fate", { hasText: "waits" }).waitFor({ state: "detached" });
        assert.equal(await ann.page.locator("#banner").isVisible(), false);
        assert.equal(await ann.inRoom("names"), ann.id);
        assert.equal(await nameOf(bob, ann.id), "Anna");
        assert.deepEqual(changes, [], "other members see no change");
        assert.equal(await ann.notice("You are back").count() + await bob.notice(/ left/).count(), 0);
        const late = await enter("names");
        assert.deepEqual([await nameOf(late, ann.id), await nameOf(late, bob.id)], ["Anna", "Bob"]);
        // The browser itself logs the requests that fail without a network, and the page's request for the reason of a rejection.
        assert.deepEqual([ann, bob, late].flatMap(({ errors }) => errors.filter((text) => !/net::ERR_|WebSocket connection|status of 400/.test(text))), []);
        await Promise.all([ann, bob, late].map((each) => each.close()));
    });

    test("invalid info is ignored, and names are limited in length", async (t) => {
        const { client, room } = observe(t, "shapes");
        const bob = await enter("shapes");
        await eventually("both are there", () => room.memberSet.has(bob.id));
        const made = await nameOf(bob, client.id);
        client.setInfo({ name: `<b>\u202eX</b>${"y".repeat(300)}` });
        await named(bob, client.id, `<b>X</b>${"y".repeat(16)}`);
        for (const info of [{ name: { name: "Eve" } }, { name: ["Eve"] }, { name: 7 }, { Name: "Eve" }]) {
            client.setInfo({ name: "Eve" });
            await named(bob, client.id, "Eve");
            client.setInfo(info);
            await named(bob, client.id, made);
        }
        assert.equal(await bob.page.locator("#members b, #log b").count(), 0);
        assert.deepEqual(bob.errors, []);
        await bob.close();
    });

    test("the typing indicator ends on empty input, on send and on timeout", async () => {
        const [ann, bob] = [await enter("typing", "Ann"), await enter("typing", "Bob")];
        await named(bob, ann.id, "Ann");
        await eventually("both are there", () => ann.member(bob.id).count());
        const news = () => bob.page.locator("#typing-news").textContent();
        const began = performance.now();
        const isWithin = (milliseconds) => performance.now() - began < milliseconds;
        const typing = () => write(ann, "hello");
        await indicator(bob, "Ann is typing…", typing);
        const first = await news();
        // On a slow machine, the indicator may have expired already.
        assert.ok(first === "Ann is typing…" || !isWithin(5_000), first);
        await ann.page.fill("#message", "");
        await indicator(bob, "");
        await indicator(bob, "Ann is typing…", typing);
        const second = await news();
        assert.ok(second === "" || !isWithin(20_000), "not announced again so soon");
        await ann.page.press("#message", "Enter");
        await bob.message("hello").waitFor();
        assert.equal(await bob.page.locator("#typing").textContent(), "", "with the message, in the same picture");
        const guests = await crowd(server, "typing", 2);
        await shown(bob, "#room-info", /^4 here$/);
        const others = () => guests.forEach((each) => each.say("typing", "on"));
        await indicator(bob, / and .* are typing…$/, others);
        await indicator(bob, "3 people are typing…", () => (others(), typing()));
        guests.forEach((each) => each.close());
        await indicator(bob, "Ann is typing…", typing);
        // This page's clock runs ahead from its next message on.
        await ann.page.fill("#message", "");
        await indicator(bob, "");
        await bob.page.clock.install();
        await indicator(bob, "Ann is typing…", typing);
        await bob.page.clock.fastForward(8_000);
        await indicator(bob, "");
        assert.deepEqual([ann, bob].flatMap(({ errors }) => errors), []);
        await Promise.all([ann.close(), bob.close()]);
    });

    test("a message in a small room is marked as seen once visible", async () => {
        const [ann, bob] = [await enter("seen", "Ann"), await enter("seen", "Bob")];
        await Promise.all([named(ann, bob.id, "Bob"), named(bob, ann.id, "Ann")]);
        const note = (text, kind) => ann.message(text, kind).locator(".fate");
        await ann.whisperTo(bob.id, "one");
        await note("one", "whisper").filter({ hasText: /^Seen$/ }).waitFor();
        const hide = (isHidden) => bob.page.evaluate((value) => {
            Object.defineProperty(document, "hidden", { value, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }, isHidden);
        await hide(true);
        await ann.say("two");
        await bob.message("two").waitFor();
        await bob.say("not looking");
        await ann.message("not looking").waitFor();
        assert.equal(await note("two").count(), 0);
        await hide(false);
        await note("two").filter({ hasText: /^Seen$/ }).waitFor();
        await note("one", "whisper").waitFor({ state: "detached" });
        const cem = await enter("seen", "Cem");
        await cem.page.locator("#members .name", { hasText: "Ann" }).waitFor();
        await named(ann, cem.id, "Cem");
        await hide(true);
        await ann.say("three");
        await note("three").filter({ hasText: /^Seen by Cem$/ }).waitFor();
        await hide(false);
        await note("three").filter({ hasText: /^Seen$/ }).waitFor();
        const guests = await crowd(server, "seen", 2);
        await shown(ann, "#room-info", /^5 here$/);
        await ann.say("four");
        await cem.message("four").waitFor();
        await cem.whisperTo(ann.id, "I saw it");
        await cem.message("I saw it", "whisper").locator(".fate", { hasText: /^Seen$/ }).waitFor();
        assert.equal(await note("four").count(), 0, "not in a larger room");
        guests.forEach((each) => each.close());
        assert.deepEqual([ann, bob, cem].flatMap(({ errors }) => errors), []);
        await Promise.all([ann, bob, cem].map((each) => each.close()));
    });

    test("a newcomer sees the last messages with the names of departed members", async () => {
        const cem = await enter("memory", "Cem");
        await cem.say("said before");
        await cem.say("and this too");
        const ann = await enter("memory", "Ann");
        await ann.message("and this too").waitFor();
        await cem.close();
        await shown(ann, "#room-info", /^1 here$/);
        // Show another room, so that the messages count as unread.
        const late = await Person.open(browser, `${server.origin}/?room=memory&room=elsewhere`);
        await late.page.locator('[data-log="memory"] .notice', { hasText: "You joined" }).waitFor({ state: "attached" });
        await shown(late, "#room-title", "elsewhere");
        assert.equal(await late.page.locator(".badge:not([hidden])").count(), 0);
        await late.page.click('[data-room="memory"] .room-open');
        const lines = await late.page.locator("#log ol:not([hidden]) li").evaluateAll((all) => all.map((line) => [line.querySelector(".author")?.textContent, line.querySelector(".text")?.textContent, !!line.querySelector("time")]));
        assert.deepEqual(lines, [["Cem", "said before", false], [undefined, "and this too", false], [undefined, undefined, true]]);
        await late.say("now");
        await ann.message("now").locator("time").waitFor();
        await Promise.all([ann.close(), late.close()]);
    });

    test("with the plain protocol names are sent as messages, without seen marks", async (t) => {
        const plain = await startServer("--compat");
        t.after(() => plain.stop());
        const [ann, bob] = [await enter("plain", "Ann", plain.origin), await enter("plain", "Bob", plain.origin)];
        await Promise.all([named(ann, bob.id, "Bob"), named(bob, ann.id, "Ann")]);
        await ann.setNick("Anna");
        await named(bob, ann.id, "Anna");
        const late = await enter("plain", "", plain.origin);
        await named(late, ann.id, "Anna");
        await indicator(bob, "Anna is typing…", () => write(ann, "hel"));
        await ann.say("hello");
        await bob.message("hello").waitFor();
        await bob.whisperTo(ann.id, "psst");
        await ann.message("psst", "whisper").waitFor();
        await late.close();
        await shown(ann, "#room-info", /^2 here$/);
        assert.equal(await ann.page.locator(".fate").count() + await bob.page.locator(".fate").count(), 0);
        assert.deepEqual([ann, bob, late].flatMap(({ errors }) => errors), []);
        await Promise.all([ann.close(), bob.close()]);
    });

    test("counter: no click is lost or counted twice across a lost network", async (t) => {
        const { room } = observe(t, "gallery counter");
        const [a, b] = await Promise.all([1, 2].map(() => Person.open(browser, `${server.origin}/gallery/counter.html`)));
        await Promise.all([a, b].map(({ page }) => page.getByText("3 here", { exact: true }).waitFor()));
        const members = room.members();
        const changes = record(room, "new_member", "member_left", "reopen");
        const clicks = ({ page }, count) => page.evaluate((number) => Array.from({ length: number }, () => document.querySelector("#more").click()), count);
        await a.page.click("#more");
        await total(b, 1);
        await a.page.click("#plug");
        await a.page.click("#more");
        await a.page.click("#less");
        await clicks(a, 1_500);
        await clicks(b, 40);
        await Promise.all([shown(a, "#waiting", "1502 clicks wait"), total(a, 1_501), total(b, 41)]);
        assert.equal(await a.page.locator("#plug").textContent(), "Plug it in");
        await a.page.click("#plug");
        await Promise.all([total(a, 1_541), total(b, 1_541)]);
        await a.page.waitForFunction(() => document.querySelector("#waiting").textContent === "");
        await shown(a, "#state", "open");
        assert.deepEqual([room.members(), changes], [members, []], "other members see no change");
        // A new client requests the counts from the other clients.
        const late = await Person.open(browser, `${server.origin}/gallery/counter.html`);
        await total(late, 1_541);
        assert.deepEqual([a, b, late].flatMap(({ errors }) => errors), []);
        await Promise.all([a, b, late].map((each) => each.close()));
    });
});
