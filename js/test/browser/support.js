/** Starts Chromium and drives the chat page, for browser tests. */

import { execFileSync } from "node:child_process";

import { chromium } from "playwright-core";

const ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"
];

/** Starts the browser in $CHROMIUM, or `chromium` from the PATH. The options are playwright's. */
export function launch(options) {
    let executablePath = process.env.CHROMIUM;
    if (!executablePath) {
        try {
            executablePath = execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
        } catch {
            throw new Error("there is no chromium in the PATH: install it, or set CHROMIUM to the program");
        }
    }
    // By default, the browser has 30 seconds to start, which several browsers on a busy machine may exceed.
    return chromium.launch({ executablePath, args: ARGS, timeout: 120_000, ...options });
}

/** A user with a separate browser context, who uses the chat page like any user. */
export class Person {
    /**
     * @param {import("playwright-core").Browser} browser
     * @param {string} address the address of the page
     * @param {object} [options] options of the browser context
     */
    static async open(browser, address, options = {}) {
        const context = await browser.newContext({ viewport: { width: 1200, height: 750 }, locale: "en-GB", ...options });
        context.setDefaultTimeout(60_000);
        const person = new Person(await context.newPage());
        await person.page.goto(address);
        return person;
    }

    constructor(page) {
        this.page = page;
        this.errors = [];
        page.on("console", (message) => {
            if (["error", "warning"].includes(message.type())) {
                this.errors.push(message.text());
            }
        });
        page.on("pageerror", (error) => this.errors.push(String(error)));
    }

    /** Waits until the client has joined the room. Returns its id. */
    async inRoom(name) {
        await this.page.locator(`[data-log="${name}"][data-open=true]`).waitFor({ state: "attached" });
        return this.page.locator("#you-face").getAttribute("data-face-of");
    }

    async setNick(nick) {
        await this.page.fill("#nick", nick);
        await this.page.press("#nick", "Enter");
    }

    async say(text) {
        await this.page.fill("#message", text);
        await this.page.press("#message", "Enter");
    }

    async whisperTo(id, text) {
        await this.page.click(`#members [data-id="${id}"]`);
        await this.say(text);
        await this.page.click("#whisper-cancel");
    }

    member(id) {
        return this.page.locator(`#members [data-id="${id}"]`);
    }

    /** Locates the messages with this text in the shown room. */
    message(text, kind = "chat") {
        return this.page.locator(`#log ol:not([hidden]) .message[data-kind=${kind}]`, { hasText: text });
    }

    /** Locates the event lines with this text in the shown room. */
    notice(text) {
        return this.page.locator("#log ol:not([hidden]) .notice", { hasText: text });
    }

    close() {
        return this.page.context().close();
    }
}

/* Helpers for the gallery's pages */

/** Sends a message on the gallery's chat page. */
export const say = async ({ page }, text) => {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
};
/** Waits until the page shows another user's message. */
export const heard = ({ page }, text) => page.locator("#log li:not(.own)", { hasText: text }).waitFor();
/** Waits until the counter shows this sum. */
export const total = ({ page }, wanted) => page.waitForFunction((value) => document.querySelector("#total").textContent === value, String(wanted));
