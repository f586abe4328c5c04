/** Tests that a client without a network learns, when it returns, that the application has closed its connection. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../../src/index.js";
import { startProxy } from "../support/proxy.js";
import { startServe } from "../support/serve.js";

const KEY = "a key of at least thirty-two characters";

test("a client that was offline when it was closed does not reconnect", { timeout: 60_000 }, async (t) => {
    const server = await startServe('anonymous = true\n[operator]\nlisten = "127.0.0.1:0"\n[[api_key]]\nname = "backend"\nfile = "{backend.key}"\n', { "backend.key": KEY });
    t.after(() => server.stop());
    const proxy = await startProxy(new URL(server.url).port);
    t.after(() => proxy.close());
    const client = connect(`ws://127.0.0.1:${proxy.port}/ws`, { reconnect: { minDelay: 10, maxDelay: 100 } });
    t.after(() => client.close());
    const states = [];
    client.on("state", (state) => states.push(state));
    const becomes = (wanted) => new Promise((resolve) => client.on("state", (state, error) => state === wanted && resolve(error)));
    await becomes("open");
    const suspended = becomes("suspended");
    proxy.drop();
    await suspended;
    const answer = await fetch(`${server.operator}/v1/connections/${client.id}?code=4000&reason=banned`, { method: "DELETE", headers: { authorization: `Bearer ${KEY}` } });
    assert.equal(answer.status, 200, await answer.text());
    const closed = becomes("closed");
    proxy.resume();
    const error = await closed;
    assert.deepEqual([error?.closeCode, error?.reason], [4000, "banned"]);
    assert.equal(states.filter((state) => state === "open").length, 1);
});
