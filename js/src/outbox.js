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

/**
 * An item is `{ owner, room, event, data }`, with `payload` and `to` if it is a message: the room object, the room's name and the packet.
 *
 * @param {{messages?: number, bytes?: number}} limits of the queue
 * @param {import("./index.js").Clock} clock
 * @param {object} session see session.js
 * @param {() => boolean} isReady returns true if the socket takes packets
 * @param {(room: object) => boolean} isOpen returns true if messages may be sent to a room
 * @param {(item: object) => void} send writes an item to the socket
 * @param {(items: object[], isLost?: boolean) => void} settled receives the items that the server has handled, or that were
 *   in flight when the connection was lost
 * @param {(item: object, reason: string) => void} lost receives a message that was accepted and may not arrive
 */
export function createOutbox({ messages = 1000, bytes = 2 ** 20, ...others }, clock, session, isReady, isOpen, send, settled, lost) {
    rejectUnknown(others);
    /** Joins, leaves and probes that wait for their turn. */
    let requests = [];
    /** Joins and leaves that the server has not confirmed, waiting or sent. */
    const pending = new Set();
    /** Messages that wait. */
    const queue = new Set();
    let queuedBytes = 0;
    /** Packets of this connection, or session, that the server has not confirmed, oldest first. */
    const sent = new Set();
    /** The number of confirmed packets before them. */
    let handled = 0;
    let sentBytes = 0;
    /** The bytes after the latest probe; a small packet counts as PACKET_BYTES. */
    let unprobed = 0;
    /** True if the application waits for the confirmation of a packet after the latest probe. */
    let isAwaited;
    let window = FIRST_WINDOW;
    let pace = 0;
    let relaxAt = 0;
    let timer;

    const createRequest = (event, payload, room = ROOT, to, owner) => ({ owner, room, event, to, data: encode(room, event, to, "", payload) });
    const createProbe = () => createRequest("leave", undefined, PROBE);

    const write = (item) => {
        unprobed += Math.max(PACKET_BYTES, item.data.length);
        isAwaited ||= item.report;
        send(item);
    };

    const transmit = (item) => {
        const isProbe = item.room === PROBE;
        if (isProbe && session.isOn) {
            session.acknowledge("?");
        } else {
            sentBytes += item.data.length;
            sent.add(item);
            write(item);
        }
        if (isProbe) {
            isAwaited = unprobed = 0;
        }
    };

    const dequeue = (item) => {
        queue.delete(item);
        queuedBytes -= item.data.length;
        return item;
    };

    const settle = (item) => {
        sent.delete(item);
        pending.delete(item);
        sentBytes -= item.data.length;
        return item;
    };

    /** Removes the next item that may be sent. */
    const next = () => {
        if (requests.length) {
            return requests.shift();
        }
        for (const item of queue) {
            if (isOpen(item.owner)) {
                return dequeue(item);
            }
        }
    };

    /** Sends what may be sent now, and sets the timer for the rest. With a pace, each tick sends one packet. */
    const pump = (isTick) => {
        if (!isReady()) {
            return;
        }
        for (let item; (isTick || !pace) && sent.size < window && sentBytes <= bytes && (item = next()); isTick &&= !pace) {
            transmit(item);
        }
        const isWaiting = requests.length || queue.size;
        const isFull = sentBytes > bytes || (isWaiting && sent.size >= window);
        if (unprobed && (session.isOn ? isAwaited || (isWaiting && isFull) : isFull || unprobed >= PROBE_BYTES || isTick)) {
            transmit(createProbe());
        }
        if (isWaiting || (unprobed && !session.isOn)) {
            timer ??= clock.setTimeout(tick, pace || PROBE_DELAY);
        }
    };

    const tick = () => {
        timer = undefined;
        pump(true);
    };

    /** Sends a probe after all unconfirmed packets. */
    const fence = () => {
        (unprobed || requests.length) && requests.push(createProbe());
        pump();
    };

    /** Sends a packet before the messages that wait; returns undefined without a connection, and a session that may continue. */
    const enqueue = (...args) => {
        if (isReady() || session.isKept?.()) {
            const item = createRequest(...args);
            requests.push(item);
            pump();
            return item;
        }
    };

    return {
        queue,
        sent,
        pump,
        probe: () => transmit(createProbe()),
        fence,
        sentBytes: () => sentBytes,
        /** Returns the room of an unconfirmed request. */
        find: (name, event) => [...pending].find((item) => item.event === event && item.room === name)?.owner,
        /** Sends a packet of a feature. It is not reported if it is lost. */
        post: enqueue,
        /** Queues a join or leave; returns undefined if there is neither a connection nor a session that may continue. */
        request(owner, event, payload) {
            // A leave_ack means that the room's unconfirmed messages may be lost, so a probe confirms them first.
            event === "leave" && fence();
            const item = enqueue(event, payload, owner.name, undefined, owner);
            return item && pending.add(item);
        },
        /** Sends or queues a message; returns the result for the application. */
        send(item) {
            if (isReady() && isOpen(item.owner) && !pace && !queue.size && sentBytes <= bytes) {
                transmit(item);
            } else if (queue.size < messages && queuedBytes + item.data.length <= bytes) {
                queue.add(item);
                queuedBytes += item.data.length;
            } else {
                return "dropped";
            }
            pump();
            return queue.has(item) ? "queued" : "sent";
        },
        /** Removes a message that still waits. */
        withdraw: (item) => queue.has(item) && dequeue(item),
        /** Has what is sent confirmed soon. */
        hurry() {
            isAwaited = true;
            pump();
        },
        /** Discards the queued messages of a room that is left or closed, and reports them. */
        discard(room) {
            for (const item of queue) {
                item.owner === room && lost(dequeue(item), "unsent");
            }
        },
        /** Reports the unconfirmed messages of a room that the client has left or was removed from. */
        lose(name) {
            for (const item of [...sent]) {
                if (item.room === name && "payload" in item) {
                    lost(item, "unconfirmed");
                    // The packet still counts, but not as a message.
                    delete item.payload;
                }
            }
        },
        /** Handles an acknowledgement with the number of packets that the server has handled, or the answer to a probe. */
        confirmed(count) {
            // Up to the first probe; packets after it are confirmed by the next one.
            const all = [...sent];
            const items = all.slice(0, count === undefined ? all.findIndex(({ room }) => room === PROBE) + 1 : Math.max(0, count - handled)).map(settle);
            handled += items.length;
            const now = clock.now();
            window = Math.min(2 * window, LARGEST_WINDOW);
            if (pace && now > relaxAt) {
                pace = pace > FIRST_PACE ? pace / 2 : 0;
                relaxAt = now + RELAX_TIME;
            }
            settled(items);
            pump();
        },
        /** Sends again the packets that the server has not handled. The others are not confirmed yet: their answers may still arrive. */
        resumed(count) {
            window = FIRST_WINDOW;
            unprobed = 0;
            // Only if needed, since the server closes clients that ask without end.
            count > handled && transmit(createProbe());
            for (const item of [...sent].slice(count - handled)) {
                // As in request().
                item.event === "leave" && unprobed && transmit(createProbe());
                write(item);
            }
            pump();
        },
        /** Handles the loss of the connection: unconfirmed messages may or may not have arrived. */
        disconnected(isTooFast) {
            const items = [...sent, ...requests];
            clock.clearTimeout(timer);
            timer = undefined;
            sent.clear();
            pending.clear();
            requests = [];
            sentBytes = unprobed = handled = 0;
            window = FIRST_WINDOW;
            if (isTooFast) {
                pace = Math.min(2 * pace || FIRST_PACE, SLOWEST_PACE);
                relaxAt = clock.now() + RELAX_TIME;
            }
            settled(items, true);
        }
    };
}
