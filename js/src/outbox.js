/**
 * What goes out, in which order and how fast, and what of it has surely arrived.
 *
 * The plain protocol acknowledges no message, but a server handles what one client sends in order, and answers each wish to
 * leave a room, also one that does not exist. Such a wish is the probe: its answer confirms all that was sent before it.
 *
 * @module outbox
 */

/** Packets that go out of the queue before the first answer; twice as many after each further one. */
const WINDOW = 8;
const WIDEST = 256;
/** Unconfirmed packets and bytes that are asked about at once, and how long fewer may wait, in milliseconds. */
const MANY = 64;
const MUCH = 2 ** 16;
const SOON = 1_000;
/** Milliseconds between packets after a server has called us too fast: at first, at most, and how long until it is tried faster. */
const PACE = 125;
const SLOWEST = 2_000;
const RELAX = 60_000;

/**
 * An item is `{ entry, data, kind }` for joins and leaves, and `{ entry, data, event, payload, to }` for messages.
 *
 * @param {{messages?: number, bytes?: number}} [limits]
 * @param {import("./index.js").Clock} clock
 * @param {object} client
 * @param {() => Iterable<object>} client.entries rooms with what waits for them, and until when it has to: `{ waiting: item[], isIn: boolean, quietUntil: number }`
 * @param {() => boolean} client.isReady whether the socket takes messages
 * @param {(item: object) => void} client.transmit hands it to the socket
 * @param {() => void} client.probe asks the server for an answer
 * @param {(item: object) => void} client.settled a join or leave that the server has surely answered
 * @param {(item: object, reason: string) => void} client.lost a message that was accepted, and may not or will not arrive
 */
export function createOutbox({ messages = 1000, bytes = 2 ** 20 } = {}, clock, client) {
    /** Joins and leaves that wait for their turn. */
    let control = [];
    /** What this connection has taken and the server has not confirmed, oldest first, and its bytes. */
    let sent = [];
    let underWay = 0;
    /** How many of those the probe under way will confirm; -1 if there is none. */
    let asked = -1;
    let waiting = 0;
    let waitingBytes = 0;
    let flight = 0;
    let window = WINDOW;
    let pace = 0;
    let relaxAt = 0;
    let nextAt = 0;
    let confirmAt = 0;
    let timer;

    function put(item) {
        const now = clock.now();
        client.transmit(item);
        confirmAt = sent.length ? confirmAt : now + SOON;
        nextAt = now + pace;
        underWay += item.size = item.data.length;
        // Kept to be told of if it is lost; its bytes are not.
        item.data = undefined;
        sent.push(item);
    }

    /** Takes out what may go next: a room's messages only once we are in it, and not before it is to speak again. */
    function next(now) {
        if (control.length || !waiting) {
            return control.shift();
        }
        for (const entry of client.entries()) {
            if (entry.isIn && entry.quietUntil <= now && entry.waiting.length) {
                const item = entry.waiting.shift();
                waiting--;
                waitingBytes -= item.data.length;
                return item;
            }
        }
    }

    /** Asks, unless the question is under way. */
    function probe() {
        if (asked < 0) {
            asked = sent.length;
            nextAt = Math.max(clock.now(), nextAt) + pace;
            client.probe();
        }
    }

    /** Sends what may be sent now, and sees to it that the rest is not forgotten. */
    function pump() {
        clock.clearTimeout(timer);
        if (!client.isReady()) {
            return;
        }
        const now = clock.now();
        for (let item; flight < window && nextAt <= now && underWay <= bytes && (item = next(now)); flight++) {
            put(item);
        }
        const dues = [];
        if (asked < 0 && sent.length) {
            if (flight >= window || sent.length >= MANY || underWay >= Math.min(MUCH, bytes) || confirmAt <= now || sent.some((item) => item.isFence)) {
                probe();
            } else {
                dues.push(confirmAt);
            }
        }
        if (control.length + waiting) {
            dues.push(nextAt, ...[...client.entries()].map(({ quietUntil }) => quietUntil));
        }
        const due = Math.min(...dues.filter((at) => at > now));
        timer = due < Infinity ? clock.setTimeout(pump, due - now) : undefined;
    }

    return {
        pump,
        probe,
        underWay: () => underWay,
        /** The connection is gone; what it took and was not confirmed may have arrived or not. */
        close(isTooFast) {
            const gone = sent;
            clock.clearTimeout(timer);
            control = [];
            sent = [];
            underWay = flight = nextAt = 0;
            asked = -1;
            window = WINDOW;
            if (isTooFast) {
                pace = Math.min(2 * pace || PACE, SLOWEST);
                relaxAt = clock.now() + RELAX;
            }
            gone.forEach((item) => item.kind || client.lost(item, "unconfirmed"));
        },
        /** A join or leave, as soon as it may go. */
        ask(item) {
            control.push(item);
            pump();
        },
        /** Whether the server may still have to answer a join or leave of a room of this name. */
        isUnsure: (name) => [...sent, ...control].some((item) => item.kind && item.entry.room.name === name),
        /** Asks for certainty about a room's join; false if there is nothing to be unsure about. */
        hasten(entry) {
            const item = [...sent, ...control].findLast((each) => each.entry === entry && each.kind === "join");
            if (item) {
                item.isFence = true;
                pump();
            }
            return !!item;
        },
        /** A message: "sent" if it went out at once, "queued", or "dropped" if there is no space. */
        send(item) {
            const { entry, data } = item;
            if (client.isReady() && entry.isIn && entry.quietUntil <= clock.now() && !pace && !entry.waiting.length && underWay <= bytes) {
                put(item);
                pump();
                return "sent";
            }
            if (waiting >= messages || waitingBytes + data.length > bytes) {
                return "dropped";
            }
            waiting++;
            waitingBytes += data.length;
            entry.waiting.push(item);
            pump();
            return item.data ? "queued" : "sent";
        },
        /** A room is over: what waits for it will not be sent. */
        forget(entry) {
            for (const item of entry.waiting.splice(0)) {
                waiting--;
                waitingBytes -= item.data.length;
                client.lost(item, "unsent");
            }
        },
        /** The server has us out of a room: it may have dropped what was on its way there. */
        doubt(name) {
            for (const item of sent) {
                if (!item.kind && item.entry.room.name === name) {
                    item.outs = (item.outs ?? 0) + 1;
                }
            }
        },
        /** The probe is answered. */
        confirmed() {
            if (asked < 0) {
                return;
            }
            const now = clock.now();
            const sure = sent.splice(0, asked);
            asked = -1;
            underWay = sent.reduce((sum, { size }) => sum + size, 0);
            flight = Math.min(flight, sent.length);
            window = Math.min(2 * window, WIDEST);
            confirmAt = now + SOON;
            if (pace && now > relaxAt) {
                pace = pace > PACE ? pace / 2 : 0;
                relaxAt = now + RELAX;
            }
            // Out of a room more often than we asked to: it was the server's wish, before or after the message came.
            const leaves = new Map();
            for (let n = sure.length; n--; ) {
                const item = sure[n];
                const { name } = item.entry.room;
                if (item.kind === "leave") {
                    leaves.set(name, (leaves.get(name) ?? 0) + 1);
                }
                item.isDoubtful = item.outs > (leaves.get(name) ?? 0);
            }
            for (const item of sure) {
                if (item.kind) {
                    client.settled(item);
                } else if (item.isDoubtful) {
                    client.lost(item, "unconfirmed");
                }
            }
            pump();
        }
    };
}
