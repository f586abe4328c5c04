/** Clients of the original API with real sockets, for end-to-end tests. */

import roomer from "../../src/compat/roomer.js";
import { withWebSocket } from "./fake-socket.js";

const RealSocket = globalThis.WebSocket;

/** A socket class for connect() that does not request the extended protocol. */
export class PlainSocket extends RealSocket {
    constructor(url, protocols = []) {
        super(url.replace("roomer=2", "other=2"), protocols);
    }
}

/** Resolves with the arguments of the room's next event of this type. Call it before causing the event. */
export function next(room, event) {
    return new Promise((resolve) => room.once(event, (...args) => resolve(args)));
}

/** Resolves with the arguments of the room's next event of this type that satisfies `fits`. */
export function nextWhere(room, event, fits) {
    return new Promise((resolve) => {
        room.on(event, function listener(...args) {
            if (fits(...args)) {
                room.off(event, listener);
                resolve(args);
            }
        });
    });
}

/**
 * Connects. Also returns the socket, since the original client cannot close its connection.
 *
 * @returns {{root: object, socket: WebSocket, ended: Promise<number>}} `ended` resolves with the close code
 */
export function connect(url) {
    let socket;
    class Caught extends RealSocket {
        constructor(...args) {
            super(...args);
            socket = this;
        }
    }
    const root = withWebSocket(Caught, () => roomer(url));
    const ended = new Promise((resolve) => socket.addEventListener("close", (event) => resolve(event.code)));
    return { root, socket, ended };
}

/** Connects, and waits until root is open. */
export async function connectOpen(url) {
    const client = connect(url);
    await next(client.root, "open");
    return client;
}

/** Joins a room, and waits until it is open. */
export async function joinOpen(from, name) {
    const room = from.join(name);
    await next(room, "open");
    return room;
}
