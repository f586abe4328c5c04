/** Tests that files stay short enough to read. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { listFiles, read } from "./support/pages.js";

const MOST_LINES = 400;

test(`each source and test has fewer than ${MOST_LINES} lines`, () => {
    const files = listFiles("js/src", "js/test").filter((file) => /\.(js|ts|mjs)$/.test(file));
    assert.ok(files.length > 50, `${files.length} files`);
    const long = files.map((file) => [file, read(file).split("\n").length - 1]).filter(([, lines]) => lines >= MOST_LINES);
    assert.deepEqual(long, []);
});
