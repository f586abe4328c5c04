/** Tests of messages that arrive after a commit and before its passive effects, when effects of the last render have not ended.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import * as React from "react";

import { connect } from "../../src/index.js";
import { useEvent } from "../../src/react/index.js";
import { setUp } from "./page.js";

const { StrictMode, createElement: h, useLayoutEffect } = React;

/** Calls its action in a layout effect, after those of its children and before all passive effects. */
function Parent({ action, children }) {
    useLayoutEffect(() => action?.(), [action]);
    return children;
}

export function commits() {
    for (const isStrict of [false, true]) {
        test(`a message after a commit is heard once, by the listener of that commit${isStrict ? ", in StrictMode" : ""}`, async () => {
            const page = setUp();
            const client = connect("ws://test/ws", page.options);
            const [a, b] = ["a", "b"].map((name) => client.join(name));
            await page.settle();
            const heard = [];
            function Chat({ mark, room, event = "chat" }) {
                useEvent(room, event, (number) => heard.push(`${mark}: ${number}`));
                return null;
            }
            /** Renders a component, and sends these messages right after the commit. Returns what the component received. */
            const show = async (props, ...messages) => {
                const send = () => {
                    messages.forEach((message) => page.server.broadcast(...message));
                    // Delivers the messages at once, as a timer that is due cannot run before the passive effects.
                    page.server.clock.sleep(0);
                };
                const tree = h(Parent, { action: send }, props && h(Chat, props));
                heard.length = 0;
                await page.render(isStrict ? h(StrictMode, null, tree) : tree);
                return [...new Set(heard)].length === heard.length ? heard : ["twice", ...heard];
            };
            const both = [["a", "chat", 1], ["b", "chat", 2]];
            assert.deepEqual(await show({ mark: "first", room: a }), []);
            assert.deepEqual(await show({ mark: "other listener", room: a }, ...both), ["other listener: 1"]);
            assert.deepEqual(await show({ mark: "other room", room: b }, ...both), ["other room: 2"]);
            assert.deepEqual(await show({ mark: "other event", room: b, event: "word" }, ...both, ["b", "word", 3]), ["other event: 3"]);
            assert.deepEqual(await show({ mark: "no room" }, ...both), []);
            assert.deepEqual(await show({ mark: "room again", room: a }, ...both), ["room again: 1"]);
            assert.deepEqual(await show({ key: 2, mark: "other component", room: a }, ...both), ["other component: 1"]);
            assert.deepEqual(await show(undefined, ...both), []);
            await page.unmount();
            client.close();
        });
    }
}
