/** Creates pages with a React root, and an in-memory server. */

import { act as actIn, createElement as h } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";

import { connect } from "../../src/index.js";
import { RoomerProvider } from "../../src/react/index.js";
import { createServer } from "../../src/testkit/index.js";

/** Creates a page with a root, and an in-memory server with these settings. */
export function setUp(settings) {
    const server = createServer(settings);
    const host = document.createElement("div");
    document.body.append(host);
    let root;
    const options = { ...server.options, codec: "json" };
    const settle = () => actIn(async () => {
        await server.advance();
        // Some callbacks wait for the end of the turn.
        await new Promise((resolve) => setTimeout(resolve));
        await server.advance();
    });
    return {
        server,
        host,
        options,
        settle,
        async render(element) {
            await actIn(async () => {
                root ??= createRoot(host);
                root.render(element);
            });
            await settle();
        },
        async hydrate(element) {
            const errors = [];
            await actIn(async () => {
                root = hydrateRoot(host, element, { onRecoverableError: (error) => errors.push(error) });
            });
            await settle();
            return errors;
        },
        async unmount() {
            await actIn(async () => root.unmount());
            await settle();
        },
        provider: (...children) => h(RoomerProvider, { url: "ws://test/ws", options }, ...children)
    };
}

/** Connects another client, and records the events that it receives in a room. */
export async function observe({ server, options, settle }, name) {
    const client = connect("ws://test/ws", options);
    const room = client.join(name);
    const seen = [];
    room.on("new_member", () => void seen.push("came"));
    room.on("member_left", () => void seen.push("left"));
    await settle();
    return { client, room, seen };
}
