/** Tests of the operators' page of `roomer serve`: its contents, its security, and its accessibility.
 *
 * With ADMIN_PICTURES=FOLDER, saves screenshots of the page in that folder.
 */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { startServe } from "../support/serve.js";
import { eventually } from "../support/wait.js";
import { faintTexts } from "./contrast.js";
import { crowd } from "./guests.js";
import { Person, launch } from "./support.js";

const KEY = "the-key-of-an-operator-1";
const OTHER = "the-key-of-a-team-with-few-rooms";
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const FILES = { key: KEY, other: OTHER, secret: SECRET };
const CONFIG = `
anonymous = true
client_info = true
[operator]
page = true
[jwt]
secret = "{secret}"
[limits]
max_backlog = "16 MiB"
[timeouts]
write = "5m"
[[room]]
pattern = "crowd"
presence = "off"
[[api_key]]
name = "operator"
file = "{key}"
[[api_key]]
name = "team"
file = "{other}"
rights = ["read"]
rooms = ["team*"]
`;
const PHONE = { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true };
/** A name, a user and an info that would run as scripts if the page parsed them as HTML. */
const HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";
const HIDDEN = "a\u202eb\u0007c";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(sub) {
    const text = `${part({ alg: "HS256" })}.${part({ sub, info: { name: sub }, exp: Date.now() / 1000 + 600 })}`;
    return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

const picture = (name) => process.env.ADMIN_PICTURES && join(process.env.ADMIN_PICTURES, name);

describe("the page for operators", { timeout: 300_000 }, () => {
    let browser;
    let server;
    let clients;
    before(async () => {
        server = await startServe(CONFIG, FILES);
        browser = await launch();
        clients = [];
        for (const [user, room] of [["ann", "lobby"], ["bob", "lobby"], [HOSTILE, HOSTILE], ["eve", HIDDEN]]) {
            const client = connect(server.url, { token: () => token(user), codec: "text", WebSocket });
            clients.push(client);
            await client.join(room).opened;
        }
    });
    after(async () => {
        clients?.forEach((client) => client.close());
        await browser?.close();
        await server?.stop();
    });

    async function open(options, key = KEY) {
        const person = await Person.open(browser, `${server.operator}/admin`, options);
        const { page } = person;
        if (key) {
            await page.fill("#key", key);
            await page.press("#key", "Enter");
        }
        return person;
    }
    const live = ({ page }) => page.locator("#state[data-state=live]").waitFor();
    const room = ({ page }, name) => page.locator("#rooms tbody button", { hasText: name });
    const member = ({ page }, text) => page.locator("#members tbody tr", { hasText: text });

    test("shows rooms, members and metrics only with a valid key", async () => {
        const person = await open({}, "a-key-that-is-not-known");
        const { page } = person;
        await page.locator("#login-problem", { hasText: "does not know this key" }).waitFor();
        assert.equal(await page.locator("main").isVisible(), false);
        // Chromium logs the rejected request as an error.
        person.errors.splice(0).forEach((text) => assert.match(text, /401/));
        await page.fill("#key", KEY);
        await page.press("#key", "Enter");
        await live(person);
        await room(person, "lobby").click();
        await member(person, "ann").waitFor();
        await member(person, "bob").waitFor();
        assert.equal(await page.locator("#members tbody tr").count(), 2);
        await page.locator(".chart", { hasText: "Clients" }).locator("strong", { hasText: "4" }).waitFor();
        // A new client appears without a click.
        const carl = connect(server.url, { token: () => token("carl"), codec: "text", WebSocket });
        await carl.join("lobby").opened;
        await member(person, "carl").waitFor();
        carl.close();
        await member(person, "carl").waitFor({ state: "detached" });
        // The key was never part of an address that this page has requested.
        assert.equal(await page.evaluate(() => performance.getEntriesByType("resource").some(({ name }) => name.includes("key"))), false);
        assert.equal(page.url(), `${server.operator}/admin/`);
        // This tab stays logged in after a reload until it logs out. Another tab is not logged in.
        await page.reload();
        await live(person);
        await page.click("#leave");
        await page.reload();
        await page.locator("#login").waitFor();
        assert.deepEqual(person.errors, []);
        await person.close();
    });

    test("escapes names and shows invisible characters", async () => {
        const person = await open();
        const { page } = person;
        await room(person, HOSTILE).click();
        await member(person, HOSTILE).locator("button").click();
        await page.locator("#details dd", { hasText: "127.0.0.1" }).waitFor();
        assert.equal(await page.locator("#details dd bdi", { hasText: "<img src=x" }).count(), 3, "user, info and room");
        await page.keyboard.press("Escape");
        await room(person, "a\\u{202e}b\\u{7}c").click();
        await member(person, "eve").waitFor();
        assert.equal(await page.title(), "roomer · administration");
        assert.equal(await page.locator("tbody :is(script, img)").count(), 0);
        assert.deepEqual(person.errors, []);
        // Even if an inline script were injected, the browser would not run it.
        const refused = await page.evaluate(() => new Promise((done) => {
            document.addEventListener("securitypolicyviolation", ({ violatedDirective }) => done(violatedDirective));
            document.body.append(Object.assign(document.createElement("script"), { textContent: "document.title = 'taken'" }));
        }));
        assert.match(refused, /^script-src/);
        await person.close();
    });

    test("without scripts the page shows its requirements", async () => {
        for (const options of [{}, PHONE]) {
            const person = await Person.open(browser, `${server.operator}/admin/`, { javaScriptEnabled: false, ...options });
            assert.ok(await person.page.locator("noscript p", { hasText: "allow JavaScript" }).isVisible());
            await person.close();
        }
    });

    test("disconnects a client after confirmation, by keyboard", async () => {
        const person = await open();
        const { page } = person;
        const dora = connect(server.url, { token: () => token("dora"), codec: "text", WebSocket });
        await dora.join("doomed").opened;
        await page.fill("#rooms-prefix", "doo");
        await page.locator("#rooms tbody tr").nth(1).waitFor({ state: "detached" });
        await room(person, "doomed").focus();
        await page.keyboard.press("Enter");
        await member(person, "dora").locator("button").focus();
        await page.keyboard.press("Enter");
        await page.locator("#details dd", { hasText: "doomed" }).waitFor();
        await page.locator("#disconnect").focus();
        await page.keyboard.press("Enter");
        await page.locator("#disconnect", { hasText: "Really disconnect?" }).waitFor();
        assert.equal(await page.locator("#details").isVisible(), true);
        await page.keyboard.press("Enter");
        await page.locator("#details").waitFor({ state: "hidden" });
        dora.close();
        await page.locator("#rooms .note", { hasText: "No room begins so." }).waitFor();
        assert.deepEqual(person.errors, []);
        await person.close();
    });

    test("shows only the rooms that the key permits", async () => {
        const team = connect(server.url, { codec: "text", WebSocket });
        await team.join("team-1").opened;
        const person = await open({}, OTHER);
        await room(person, "team-1").waitFor();
        assert.equal(await person.page.locator("#rooms tbody tr").count(), 1);
        await person.page.locator("#figures-problem", { hasText: "for some rooms only" }).waitFor();
        assert.equal(await person.page.locator(".charts").isVisible(), false);
        team.close();
        await person.close();
    });

    test("reconnects to a restarted server, and lists 2,000 members and slow readers", async () => {
        const guests = await crowd(server, "crowd", 2_000);
        // Connect a client that does not read to a room with traffic.
        const { hostname, port, host } = new URL(server.url);
        const slow = connectSocket(port, hostname);
        await once(slow, "connect");
        slow.pause();
        slow.write(`GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer ${token("slow")}\r\n\r\n`);
        const person = await open();
        const { page } = person;
        await page.locator(".chart strong", { hasText: "2,005" }).waitFor();
        const message = (body) => fetch(`${server.operator}/v1/users/slow/messages/news`, { method: "POST", headers: { authorization: `Bearer ${KEY}` }, body });
        // At most 12 MB: more than the kernel's buffers hold, and less than the server may queue, even if the page polls slowly.
        let sent = 0;
        await eventually("what waits", async () => {
            sent++ < 200 && await message("x".repeat(60_000));
            return page.locator("#slow tbody tr", { hasText: "slow" }).count();
        });
        for (let round = 0; round < 4; round++) {
            guests.slice(0, 50).forEach((guest) => guest.say("chat", "x".repeat(100 * round)));
            await page.waitForTimeout(picture("x") ? 2_100 : 0);
        }
        // The first row is the room of all clients, followed by the largest other room. The page may request the rooms after the
        // figures.
        const largest = () => page.locator("#rooms tbody tr").evaluateAll((rows) => rows.slice(0, 2).map((row) => row.innerText.replaceAll(/\s+/g, " ")));
        await eventually("the largest rooms", async () => (await largest()).join("; ") === "root 2,005; crowd 2,000");
        await room(person, "crowd").click();
        await page.locator("#members tbody tr").nth(199).waitFor();
        await page.locator("#members .note", { hasText: "The first 200 of 2,000" }).waitFor();
        picture("x") && await page.screenshot({ path: picture("admin-2000.png"), fullPage: false });
        await page.click("#members .more");
        await page.locator("#members tbody tr").nth(599).waitFor();
        await page.click("#members .more");
        await page.locator("#members tbody tr").nth(1399).waitFor();
        await page.click("#members .more");
        await page.locator("#members tbody tr").nth(1999).waitFor();
        await page.locator("#members .more").waitFor({ state: "hidden" });
        slow.destroy();
        guests.forEach((guest) => guest.close());
        await page.locator("#rooms tbody button", { hasText: "crowd" }).waitFor({ state: "detached" });
        await page.locator("#members .note", { hasText: "The room is empty." }).waitFor();
        await page.context().setOffline(true);
        await page.locator("#state[data-state=failed]").waitFor();
        await page.context().setOffline(false);
        await live(person);
        await person.close();
    });

    for (const colorScheme of ["light", "dark"]) {
        test(`contrast is at least 4.5:1 in ${colorScheme} mode, and the page fits a phone`, async () => {
            for (const options of [{}, PHONE]) {
                const person = await open({ colorScheme, reducedMotion: "reduce", ...options }, "");
                const { page } = person;
                const check = async (what, least) => {
                    const { seen, faint } = await faintTexts(page);
                    assert.ok(seen >= least, `${seen} texts`);
                    assert.deepEqual(faint, [], what);
                    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
                    assert.ok(wide <= 0, `${what}: ${wide} pixels are beside the window`);
                };
                await check("before the login", 5);
                await page.fill("#key", KEY);
                await page.press("#key", "Enter");
                await live(person);
                await room(person, "lobby").click();
                await member(person, "ann").waitFor();
                const name = `admin-${options.isMobile ? "phone" : "wide"}-${colorScheme}.png`;
                picture("x") && (await page.waitForTimeout(9_000), await page.screenshot({ path: picture(name), fullPage: Boolean(options.isMobile) }));
                await check("with a room", 40);
                await page.click("#pause");
                await member(person, "ann").locator("button").click();
                await page.locator("#details dd", { hasText: "lobby" }).waitFor();
                picture("x") && options.isMobile && await page.screenshot({ path: picture(`details-${name}`) });
                await check("a connection", 40);
                assert.deepEqual(person.errors, []);
                await person.close();
            }
        });
    }
});
