/** Tests with a real proxy that rejects every request with 403 during an outage.
 *
 * The chat page must reconnect afterwards, while a rejection by the server itself is final.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Person, launch } from "../browser/support.js";
import { missing, startReverseProxy } from "../support/reverse-proxy.js";
import { startServer } from "../support/server.js";

describe("the chat page behind nginx", { timeout: 300_000, skip: missing("nginx") }, () => {
    test("reconnects after an outage in which the proxy answers 403", async (t) => {
        const server = await startServer();
        t.after(() => server.kill());
        const front = await startReverseProxy(t, "nginx", new URL(server.url).port);
        const browser = await launch();
        t.after(() => browser.close());
        const { page } = await Person.open(browser, `http://127.0.0.1:${front.port}/`);
        const connected = () => page.locator("#connection-text", { hasText: /^connected$/ }).waitFor();
        await connected();

        await front.stop();
        await front.start({ location: "location / { return 403; }" });
        const asked = await page.waitForResponse((response) => response.status() === 403 && new URL(response.url()).pathname === "/ws");
        assert.equal(asked.headers()["roomer-status"], undefined);
        await front.stop();
        await front.start();
        await connected();
    });

    test("does not reconnect if the server itself rejects it", async (t) => {
        const server = await startServer("--auth-token", "right");
        t.after(() => server.kill());
        const front = await startReverseProxy(t, "nginx", new URL(server.url).port);
        const browser = await launch();
        t.after(() => browser.close());
        const { page } = await Person.open(browser, `http://127.0.0.1:${front.port}/?token=wrong`);
        await page.locator("#again").waitFor();
    });
});
