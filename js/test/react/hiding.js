/** Tests of components that are hidden for a while: by Suspense because a sibling loads, and by Activity. */

import assert from "node:assert/strict";
import { test } from "node:test";

import * as React from "react";

import { useEvent, useRoom } from "../../src/react/index.js";
import { Count } from "./app.js";
import { observe, setUp } from "./page.js";

const { StrictMode, Suspense, act: actIn, createElement: h } = React;

/** Returns a component that suspends as libraries do: it throws a promise, until `load()` is called with the component's id. */
function createLoader() {
    const loads = new Map();
    const find = (id) => {
        if (!loads.has(id)) {
            const load = { isDone: id === "first" };
            load.done = new Promise((resolve) => (load.resolve = resolve));
            loads.set(id, load);
        }
        return loads.get(id);
    };
    return {
        Detail({ id }) {
            if (!find(id).isDone) {
                throw find(id).done;
            }
            return id;
        },
        load(id) {
            find(id).isDone = true;
            find(id).resolve();
        }
    };
}

export function hiding() {
    for (const isInside of [false, true]) {
        for (const isStrict of [false, true]) {
            test(`a suspending sibling keeps rooms open: provider ${isInside ? "inside" : "outside"} Suspense${isStrict ? ", StrictMode" : ""}`, async () => {
                const page = setUp();
                const other = await observe(page, "lobby");
                const heard = [];
                const { Detail, load } = createLoader();
                function Lobby({ name }) {
                    const room = useRoom(name);
                    useEvent(room, "chat", (text) => heard.push(text));
                    useEvent(room, "close", () => heard.push("close"));
                    return h(Count, { name });
                }
                const show = (id, name = "lobby") => {
                    const inner = [h(Lobby, { key: 1, name }), h(Detail, { key: 2, id })];
                    const bounded = (...children) => h(Suspense, { fallback: "wait" }, ...children);
                    const tree = isInside ? bounded(page.provider(...inner)) : page.provider(bounded(...inner));
                    return page.render(isStrict ? h(StrictMode, null, tree) : tree);
                };
                await show("first");
                assert.equal(page.host.textContent, "lobby open 2first");
                const { id } = page.server.connections()[1];
                other.room.send("chat", "before");
                await page.settle();
                await show("second");
                assert.match(page.host.textContent, /wait$/);
                other.room.send("chat", "while it loads");
                await page.settle();
                await actIn(async () => load("second"));
                await page.settle();
                assert.equal(page.host.textContent, "lobby open 2second");
                other.room.send("chat", "after");
                await page.settle();
                assert.deepEqual([heard, other.seen, page.server.connections()[1].id], [["before", "while it loads", "after"], ["came"], id]);
                // The hidden component can still change its room, and unmount.
                await show("second", "hall");
                assert.deepEqual([other.seen, page.server.members("hall").length], [["came", "left"], 1]);
                await show("third", "hall");
                await page.unmount();
                assert.deepEqual([page.server.members("hall").length, page.server.connections().length], [0, 1]);
                other.client.close();
            });
        }
    }

    test("a component hidden by Activity leaves its room and rejoins", { skip: !React.Activity }, async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        const show = (mode) => page.render(page.provider(h(React.Activity, { mode }, h(Count))));
        for (const mode of ["visible", "hidden", "visible"]) {
            await show(mode);
        }
        assert.deepEqual([other.seen, page.host.textContent], [["came", "left", "came"], "lobby open 2"]);
        await page.unmount();
        other.client.close();
    });
}
