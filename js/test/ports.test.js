/** Tests of the ports that tests choose for their servers. */

import assert from "node:assert/strict";
import { test } from "node:test";

test("test processes do not share ports", async () => {
    // Each query creates a module with its own state, as another process with the same process id would have.
    const [one, other] = await Promise.all(["one", "other"].map((name) => import(`./support/port.js?${name}`)));
    const ports = [];
    for (let n = 0; n < 100; n++) {
        ports.push([await one.ownPort(), await other.ownPort()]);
    }
    const [ours, theirs] = [0, 1].map((n) => new Set(ports.map((pair) => pair[n])));
    assert.equal(ours.size, 64);
    assert.equal(theirs.size, 64);
    assert.deepEqual([...ours].filter((port) => theirs.has(port)), []);
});
