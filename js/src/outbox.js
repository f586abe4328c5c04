/** The queue of outgoing packets. It determines their order and rate, and tracks which of them the server has handled.
 *
 * The plain protocol does not acknowledge messages. But a server handles a client's packets in order, and answers each
 * request to leave a room, even a room that does not exist. Such a request serves as the probe: its answer confirms all packets
 * before it. In a session the server acknowledges automatically, and a probe requests an immediate acknowledgement. There,
 * unconfirmed packets outlive the socket and are retransmitted.
 *
 * @module outbox
 */

import { rejectUnknown } from "./error.js";
import { FIRST_PACE, FIRST_WINDOW, LARGEST_WINDOW, PACKET_BYTES, PROBE, PROBE_BYTES, PROBE_DELAY, RELAX_TIME, ROOT, SLOWEST_PACE } from "./limits.js";
import { encode } from "./packet.js";

/** A set of items in insertion order, with their total size in bytes. */
export class Items extends Set {
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
 * Returns an item with an encoded packet.
 *
 * @param {Uint8Array} [bytes] the payload
 */
const createItem = (event, bytes, room = ROOT, to, owner) => ({ owner, room, event, to, data: encode(room, event, to, "", bytes) });

/**
 * Adds the outbox to the core. An item is `{ owner, room, event, data }`: the room object, the room's name, the event and the
 * encoded packet. Messages also have `payload` and `to`.
 *
 * The outbox calls these methods of the core: `isReady()`, which returns true if the socket accepts packets; `isOpen(item)`,
 * which returns true if a message may be sent to its room; `transmit(item)`; `settled(items, isLost)` with items that the server
 * has handled, or (`isLost`) that were unconfirmed when the connection broke; `lost(item, reason)` with an accepted message that
 * may not arrive.
 *
 * @param {object} core see core.js
 * @param {{messages?: number, bytes?: number}} limits the queue's limits
 */
export function createOutbox(core, limits) {
    const { messages = 1000, bytes = 2 ** 20, ...others } = limits ?? {};
    rejectUnknown(others);
    const { clock } = core;
    /** The queued joins, leaves and probes. A probe is represented by `mark`. */
    let requests = [];
    const mark = {};
    /** Queued messages. */
    const queue = new Items();
    /** Packets sent on this connection, or in this session, that the server has not confirmed. */
    const sent = new Items();
    /** The number of bytes sent after the latest probe. A small packet counts as PACKET_BYTES. */
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

    /** Removes and returns the next item that may be sent: joins, leaves and probes before messages. */
    const next = () => {
        if (requests.length) {
            return requests.shift();
        }
        for (const item of queue) {
            if (core.isOpen(item)) {
                queue.delete(item);
                return item;
            }
        }
    };

    /**
     * Sends all items that may be sent now, and sets the timer for the others. With a pace, only a call by the timer (`isTick`)
     * sends, one packet at a time.
     */
    const pump = (isTick) => {
        if (!core.isReady()) {
            return;
        }
        for (let item; (isTick || !pace) && sent.size < window && sent.bytes <= bytes && (item = next()); isTick &&= !pace) {
            item === mark ? unprobed && probe() : send(item);
        }
        const isWaiting = requests.length || queue.size;
        // Only a confirmation makes room for more packets, so request one.
        if (unprobed && (sent.bytes > bytes || (isWaiting && sent.size >= window) || (core.isOn ? core.isAwaited : unprobed >= PROBE_BYTES || isTick))) {
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

    /**
     * Queues a probe unless the last queued request is a probe. No probe is sent unless another packet was sent since the last
     * probe: the server closes clients that only send probes.
     */
    const fence = () => {
        requests.at(-1) === mark || requests.push(mark);
        pump();
    };

    /**
     * Sends a packet before queued messages. Returns undefined if there is neither a connection nor a session that may resume.
     */
    const post = (item) => {
        if (core.isReady() || core.isKept?.()) {
            requests.push(item);
            pump();
            return item;
        }
    };

    /** Resets the timer and the limits for a new socket. */
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
        reset,
        createItem,
        post: (...args) => post(core.createItem(...args)),
        /** Requests an answer that confirms all packets sent before the request. */
        ask: () => send(createItem("leave", undefined, PROBE)),
        /** Returns the room of the named room's unconfirmed join or leave. */
        find: (name, event) => [...sent, ...requests].find((item) => item.room === name && item.event === event)?.owner,
        /** Queues a join or leave. Returns undefined if there is neither a connection nor a session that may resume. */
        request(owner, event, payload) {
            // When leave_ack arrives, unconfirmed messages to the room count as lost, so a probe confirms them first.
            event === "leave" && fence();
            return post(createItem(event, payload, owner.name, undefined, owner));
        },
        /**
         * Sends or queues a message. Returns what the application's send() returns. `ahead` is the part of the queue that the
         * message waits for, and that is limited together with it.
         */
        send(item, ahead = queue) {
            if (core.isReady() && core.isOpen(item) && !pace && !ahead.size && sent.bytes <= bytes) {
                send(item);
                // An empty queue accepts even a message above the limit, which could not be sent otherwise.
            } else if (ahead.size >= messages || (ahead.size && ahead.bytes + item.data.length > bytes)) {
                core.lost(item, ahead.size >= messages ? "messages" : "bytes", "overflow");
                return "dropped";
            } else {
                queue.add(item);
            }
            pump();
            return queue.has(item) ? "queued" : "sent";
        },
        /** Removes a queued message, which will not be sent. */
        drop(item, reason = "unsent") {
            queue.delete(item);
            core.lost(item, reason);
        },
        /** Handles an answer that confirms the oldest `count` packets. */
        confirmed(count) {
            const items = [...sent].slice(0, count);
            items.forEach((item) => sent.delete(item));
            window = Math.min(2 * window, LARGEST_WINDOW);
            if (pace && clock.now() > relaxAt) {
                pace = pace > FIRST_PACE ? pace / 2 : 0;
                relaxAt = clock.now() + RELAX_TIME;
            }
            core.settled(items);
            pump();
        },
        /** Handles the loss of the connection, or of the session. Whether its unconfirmed messages have arrived is unknown. */
        disconnected(isTooFast) {
            const items = [...sent, ...requests];
            reset();
            sent.forEach((item) => sent.delete(item));
            requests = [];
            if (isTooFast) {
                pace = Math.min(2 * pace || FIRST_PACE, SLOWEST_PACE);
                relaxAt = clock.now() + RELAX_TIME;
            }
            core.settled(items, true);
        }
    });
}
