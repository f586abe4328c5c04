/** Clients with sessions, for unit tests. */

import { decode, toText } from "../../src/packet.js";
import { setUp } from "./kit.js";

/**
 * Connects clients with sessions that join the room "lobby". `sockets` are those of the first client, and `wire` contains the
 * bytes that it sends on them.
 */
export async function enter(count = 1, { settings, ...options } = {}) {
    const kit = setUp({ plain: false, latency: 10, ...settings });
    const sockets = [];
    const wire = [];
    class Seen extends kit.server.options.WebSocket {
        constructor(...args) {
            super(...args);
            sockets.push(this);
        }
        send(data) {
            const { room, event, to, payload } = decode(new Uint8Array(data).buffer);
            wire.push([sockets.indexOf(this), room, event, ...(to ? [to] : []), toText(payload)]);
            super.send(data);
        }
        close(...args) {
            wire.push([sockets.indexOf(this), "close", ...args]);
            super.close(...args);
        }
    }
    const [first] = await kit.inRoom("lobby", 1, { WebSocket: Seen, ...options });
    const others = await kit.inRoom("lobby", count - 1);
    await kit.server.advance(10_000);
    wire.length = 0;
    return { kit, server: kit.server, sockets, wire, clients: [first, ...others], ...first, other: others[0] };
}

/** Returns the acknowledgements among the packets that a client has sent. */
export const acks = (wire) => wire.filter(([, , event]) => event === "roomer:ack");
/** Returns the server's end of a client's connection. */
export const connOf = ({ server }, { id }) => server.connections().find((conn) => conn.id === id);
