/** Measures the chat page under heavy traffic: layouts, as counted by the browser, and the number of elements created. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startServer } from "../support/server.js";
import { costs, judge } from "./costs.js";
import { crowd, guest } from "./guests.js";
import { Person, launch } from "./support.js";

let browser;
let server;

async function open(room) {
    const person = await Person.open(browser, `${server.origin}/?room=${room}`);
    await person.inRoom(room);
    return person;
}

/** Counts the messages for which elements are created. */
const countBuilt = (person) => person.page.evaluate(() => {
    window.built = 0;
    new MutationObserver((changes) => {
        window.built += changes.flatMap(({ addedNodes }) => [...addedNodes]).filter((node) => node.matches?.(".message")).length;
    }).observe(document.querySelector("#log"), { childList: true, subtree: true });
});

const here = (person, count) => person.page.locator("#room-info", { hasText: new RegExp(`^${count} here$`) }).waitFor();

/** Returns the maximum number of frames during a flood: one per pause. */
const floodPictures = ({ elapsed }) => 2 + elapsed / 200;

describe("the chat page under load", { timeout: 300_000 }, () => {
    before(async () => {
        server = await startServer();
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });

    test("1,000 messages need one layout per frame, and the latest 300 remain", async (t) => {
        const person = await open("flood");
        const author = await guest(server, "flood");
        await here(person, 2);
        await countBuilt(person);
        const spent = await costs(person, async () => {
            for (let n = 1; n <= 1_000; n++) {
                author.say("chat", `message ${n} of 1000, see https://example.org/${n}`);
            }
            await person.message("message 1000 of 1000").waitFor();
            await person.page.locator(".message").nth(299).waitFor();
        });
        judge(t, "chat", spent);
        assert.equal(await person.page.locator(".message").count(), 300);
        // Each frame of the flood creates the latest sixty messages, and the frames after it the rest of the 300 that are kept.
        const built = await person.page.evaluate(() => window.built);
        t.diagnostic(`${built} messages became elements`);
        assert.ok(built <= 300 + 60 * floodPictures(spent), `${built} messages became elements`);
        assert.deepEqual(await person.page.locator(".message .text").first().textContent(), "message 701 of 1000, see https://example.org/701");
        assert.deepEqual(person.errors, []);
        author.close();
        await person.close();
    });

    test("2,000 joins need one layout per frame and one log line", async (t) => {
        const person = await open("crowd");
        await person.say("said before all of them came");
        let guests;
        const spent = await costs(person, async () => {
            guests = await crowd(server, "crowd", 2_000);
            await here(person, 2_001);
            await person.notice("2000 people joined").waitFor();
        });
        judge(t, "chat", spent);
        // A flood begins with seven changes. Since a join causes up to three, each frame before that shows at least two of them.
        assert.ok(spent.layouts <= 10 + 4 * floodPictures(spent), `${spent.layouts} layouts for 2,000 joins`);
        assert.equal(await person.notice("").count(), 2, "one line of our own, one of all others");
        assert.ok(await person.message("said before all of them came").isVisible());
        assert.ok(await person.page.locator("#members [data-id]").count() < 60, "only those in view are elements");
        assert.equal(await person.page.locator("#members [data-id]").first().getAttribute("aria-setsize"), "2001");
        guests.forEach((each) => each.close());
        await here(person, 1);
        await person.notice("2000 people looked in").waitFor();
        assert.deepEqual(person.errors, []);
        await person.close();
    });

    test("1,000 name changes need one layout per frame", async (t) => {
        const person = await open("names");
        const guests = await crowd(server, "names", 200);
        await here(person, 201);
        judge(t, "chat", await costs(person, async () => {
            for (let round = 1; round <= 5; round++) {
                guests.forEach((each, n) => each.say("nick", `Guest ${round} ${n}`));
            }
            await person.page.locator("#members .name", { hasText: "Guest 5 0" }).waitFor();
        }));
        assert.equal(await person.notice(/changed their names/).count(), 0, "those who have just come are no news");
        guests.forEach((each) => each.close());
        await person.close();
    });
});
