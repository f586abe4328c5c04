/** A client that stays connected and records which other clients leave, and a client that the server drops. */

import { once } from "node:events";

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { eventually } from "./wait.js";

/** Connects a client that joins a room, and is closed when the test ends. */
export async function observe(t, url, name) {
    const client = connect(url, { WebSocket, codec: "json", reconnect: { minDelay: 20, maxDelay: 200 } });
    t.after(() => client.close());
    const room = client.join(name);
    await room.opened;
    const heard = [];
    room.on("chat", (payload) => void heard.push(payload));
    return {
        client,
        room,
        heard,
        /** Waits until the observer sees another client under the id of its last opening. Returns that opening. */
        sees: (who) => eventually(`the client in ${name}`, async () => {
            const opening = await who.opening();
            return room.memberSet.has(opening.id) && opening;
        }),
        misses: (id) => eventually(`${id} gone from ${name}`, () => !room.memberSet.has(id))
    };
}

/**
 * Connects a client that answers no pings, and waits until the server has dropped it. By then, the server has also dropped each
 * client that was suspended before.
 */
export async function dropSilentClient(url) {
    await once(new WebSocket(url, { autoPong: false }), "close");
}
