/**
 * A client that stays connected and records which other clients leave.
 */

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { eventually } from "./wait.js";

/** Joins a room with a client that is closed when the test ends. */
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
        /** Waits until it sees a client, in its last opening, which it returns. */
        sees: (who) => eventually(`the client in ${name}`, async () => {
            const opening = await who.opening();
            return room.memberSet.has(opening.id) && opening;
        }),
        misses: (id) => eventually(`${id} gone from ${name}`, () => !room.memberSet.has(id))
    };
}
