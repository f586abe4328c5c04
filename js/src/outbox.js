/**
 * The queue of outgoing packets: their order, their rate, and which of them the server has handled.
 *
 * The plain protocol does not acknowledge messages. But a server handles the packets of one client in order, and answers each
 * request to leave a room, even one that does not exist. Such a request is the probe: its answer confirms all packets before
 * it. In a session, the server acknowledges by itself, and a probe is a request to do so at once. Unconfirmed packets outlive the
 * socket there, and are sent again.
 *
 * @module outbox
 */

import { rejectUnknown } from "./error.js";
import { FIRST_PACE, FIRST_WINDOW, LARGEST_WINDOW, PACKET_BYTES, PROBE, PROBE_BYTES, PROBE_DELAY, RELAX_TIME, ROOT, SLOWEST_PACE } from "./limits.js";
import { encode } from "./packet.js";

/** A set of items, oldest first, with the sum of their bytes. */
class Items extends Set {
    bytes = 0;

    add(item) {
        this.bytes += item.data.length;
        super.add(item);
    }

    delete(item) {
        if (super.delete(item)) {
            this.bytes -= item.data.length;
        }
    }
}

/**
 * Returns an item with a packet.
 *
 * @param {Uint8Array} [bytes] the payload
 */
export const createItem = (event, bytes, room = ROOT, to, owner) => ({ owner, room, event, to, data: encode(room, event, to, "", bytes) });

/**
 * Adds the outbox to the core. An item is `{ owner, room, event, data }`, with `payload` and `to` if it is a message: the room
 * object, the room's name and the packet.
 *
 * It calls these methods of the core: `isReady()`, which returns true if the socket takes packets; `isOpen(room)`, true if messages
 * may be sent to a room; `transmit(item)`; `settled(items, isLost)` with the items that the server has handled, or that were in
 * flight when the connection was lost; `lost(item, reason)` with a message that was accepted and may not arrive.
 *
 * @param {object} core see core.js
 * @param {{messages?: number, bytes?: number}} limits of the queue
 */
export function createOutbox(core, { messages = 1000, bytes = 2 ** 20, ...others }) {
    rejectUnknown(others);
    const { clock } = core;
    /** Joins, leaves and probes that wait for their turn; `mark` stands for a probe. */
    let requests = [];
    const mark = {};
    /** Joins and leaves that the server has not confirmed, waiting or sent. */
    const pending = new Set();
    /** Messages that wait. */
    const queue = new Items();
    /** Packets of this connection, or session, that the server has not confirmed. */
    const sent = new Items();
    /** The bytes after the latest probe; a small packet counts as PACKET_BYTES. */
    let unprobed = 0;
    let window = FIRST_WINDOW;
    let pace = 0;
    let relaxAt = 0;
    let timer;

    const write = (item) => {
        unprobed += Math.max(PACKET_BYTES, item.data.length);
        core.transmit(item);
    };

    const send = (item) => {
        sent.add(item);
        write(item);
    };

    const probe = () => {
        core.ask();
        unprobed = 0;
    };

    /** Removes the next item that may be sent. */
    const next = () => {
        if (requests.length) {
            return requests.shift();
        }
        for (const item of queue) {
            if (core.isOpen(item.owner)) {
                queue.delete(item);
                return item;
            }
        }
    };

    /** Sends what may be sent now, and sets the timer for the rest. With a pace, each tick sends one packet. */
    const pump = (isTick) => {
        if (!core.isReady()) {
            return;
        }
        for (let item; (isTick || !pace) && sent.size < window && sent.bytes <= bytes && (item = next()); isTick &&= !pace) {
            item === mark ? probe() : send(item);
        }
        const isWaiting = requests.length || queue.size;
        const isFull = sent.bytes > bytes || (isWaiting && sent.size >= window);
        if (unprobed && (isFull || (core.isOn ? core.isAwaited : unprobed >= PROBE_BYTES || isTick))) {
            probe();
        }
        if (isWaiting || (unprobed && !core.isOn)) {
            timer ??= clock.setTimeout(tick, pace || PROBE_DELAY);
        }
    };

    const tick = () => {
        timer = undefined;
        pump(true);
    };

    /** Sends a probe after all unconfirmed packets. */
    const fence = () => {
        (unprobed || requests.length) && requests.push(mark);
        pump();
    };

    /** Sends a packet before the messages that wait; returns undefined without a connection, and a session that may continue. */
    const post = (...args) => {
        if (core.isReady() || core.isKept?.()) {
            const item = createItem(...args);
            item.owner && pending.add(item);
            requests.push(item);
            pump();
            return item;
        }
    };

    /** Begins anew, on a new socket. */
    const reset = () => {
        clock.clearTimeout(timer);
        timer = undefined;
        unprobed = 0;
        window = FIRST_WINDOW;
    };

    Object.assign(core, {
        queue,
        sent,
        write,
        pump,
        probe,
        fence,
        post,
        reset,
        /** Asks for an answer that confirms all packets before. */
        ask: () => send(createItem("leave", undefined, PROBE)),
        /** Returns the room of an unconfirmed request. */
        find: (name, event) => [...pending].find((item) => item.room === name && item.event === event)?.owner,
        /** Queues a join or leave; returns undefined if there is neither a connection nor a session that may continue. */
        request(owner, event, payload) {
            // A leave_ack means that the room's unconfirmed messages may be lost, so a probe confirms them first.
            event === "leave" && fence();
            return post(event, payload, owner.name, undefined, owner);
        },
        /** Sends or queues a message; returns the result for the application. */
        send(item) {
            if (core.isReady() && core.isOpen(item.owner) && !pace && !queue.size && sent.bytes <= bytes) {
                send(item);
            } else if (queue.size < messages && queue.bytes + item.data.length <= bytes) {
                queue.add(item);
            } else {
                core.tell(item, "overflow");
                return "dropped";
            }
            pump();
            return queue.has(item) ? "queued" : "sent";
        },
        /** Handles an answer, which confirms this many of the packets. */
        confirmed(count) {
            const items = [...sent].slice(0, count);
            items.forEach((item) => {
                sent.delete(item);
                pending.delete(item);
            });
            const now = clock.now();
            window = Math.min(2 * window, LARGEST_WINDOW);
            if (pace && now > relaxAt) {
                pace = pace > FIRST_PACE ? pace / 2 : 0;
                relaxAt = now + RELAX_TIME;
            }
            core.settled(items);
            pump();
        },
        /** Handles the loss of the connection: unconfirmed messages may or may not have arrived. */
        disconnected(isTooFast) {
            const items = [...sent, ...requests];
            reset();
            items.forEach((item) => sent.delete(item));
            pending.clear();
            requests = [];
            if (isTooFast) {
                pace = Math.min(2 * pace || FIRST_PACE, SLOWEST_PACE);
                relaxAt = clock.now() + RELAX_TIME;
            }
            core.settled(items, true);
        }
    });
}
