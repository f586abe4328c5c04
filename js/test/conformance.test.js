/** Runs the protocol's conformance kit with this client, and checks that the kit detects client bugs. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { FEATURES } from "../../roomer-proto/kit/lib/program.mjs";
import { readCases, run } from "../../roomer-proto/kit/run.mjs";
import { BUGS } from "./support/conformance-bugs.js";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const client = (bug) => [...(bug ? ["/usr/bin/env", `ROOMER_BUG=${bug}`] : []), process.execPath, "--experimental-websocket", path("support/conformance-client.js")];
const failuresOf = ({ results }) => results.flatMap(({ name, failure }) => (failure ? [`${name}: ${failure.message}`] : []));

test("the client passes the cases of its declared features", async () => {
    const tested = await run(client(), { jobs: 3 });
    assert.deepEqual(failuresOf(tested), []);
    assert.ok(tested.results.filter(({ lacks }) => !lacks).length > 200, "the cases were found");
});

describe("the kit finds a client that", () => {
    for (const [name, { fails }] of Object.entries(BUGS)) {
        test(name, async () => {
            const { results } = await run(client(name), { only: fails, jobs: 1, patience: 2_000 });
            assert.deepEqual(results.map(({ failure }) => !!failure?.step), [true], "the case fails, at one of its steps");
        });
    }
});

test("cases have unique names, known steps and known features", () => {
    const cases = readCases();
    const names = cases.map(({ section, name }) => `${section}: ${name}`);
    assert.equal(new Set(names).size, names.length);
    for (const { fails } of Object.values(BUGS)) {
        assert.ok(names.some((name) => name.includes(fails)), fails);
    }
    const needs = [...new Set(cases.flatMap((each) => each.needs))];
    assert.deepEqual(needs.filter((name) => !FEATURES.includes(name)), []);
});

test("the kit's page lists the optional features", () => {
    const page = readFileSync(new URL("../../roomer-proto/kit/README.md", import.meta.url), "utf8");
    const [table] = /\| feature \|[^]*?\n\n/.exec(page);
    const cells = table.split("\n").slice(2).map((row) => row.split("|")[1] ?? "");
    const listed = cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    assert.deepEqual(listed.sort(), [...FEATURES].sort());
});
