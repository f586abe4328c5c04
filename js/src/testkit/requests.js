/** Requests of the extended protocol on the in-memory server: from clients to the server and to each other, and from the server.
 *
 * @module testkit/requests
 */

import { RoomerError, rejectUnknown } from "../error.js";
import { ERROR, REPLY } from "../limits.js";
import { readOptions } from "../options.js";
import { encode, toBytes, toText } from "../packet.js";
import { UNKNOWN_RECEIVER, toMessage, toPayload } from "./message.js";
import { NOT_MEMBER } from "./names.js";
import { checkNumber } from "./settings.js";

const BUSY = ["busy", "too many requests without answers", true];
const WRONG_TAG = ["invalid", "not a tag, or one that is in use", true];

/** Sends the reason for a rejection or failure to a client. */
export function sendError(conn, room, to, error) {
    conn.deliver(encode(room, ERROR, to, "", toBytes(JSON.stringify(error))));
}

/** Splits a receiver into an id and a tag. Returns undefined if it has no tag. */
export function splitTag(to) {
    const match = /^(.*):([a-z0-9]{1,16})$/is.exec(to);
    return match ? match.slice(1) : undefined;
}

/**
 * @param {object} about
 * @param {import("./index.js").ManualClock} about.clock
 * @param {Map<string, object>} about.conns the connections by id
 * @param {(conn: object, room: string) => boolean} about.isMember
 * @param {number} about.most the maximum number of pending requests per connection of each kind: to the server, to clients, and
 * from the server
 * @param {(error: any) => void} about.report receives handler errors that are not meant for clients
 */
export function createRequests({ clock, conns, isMember, most, report }) {
    const handlers = new Map();
    let lastTag = 0;

    /** Runs the handler for a client's request, and sends its result to the client. */
    async function answer(conn, packet, tag) {
        const { calls } = conn.exchange;
        calls.add(tag);
        let send;
        try {
            const result = toPayload(await handlers.get(packet.event)(conn.api, toMessage(packet)));
            send = () => conn.deliver(encode(packet.room, REPLY, `:${tag}`, "", result));
        } catch (error) {
            const isForClients = error instanceof RoomerError;
            isForClients || report(error);
            const { code, message } = isForClients ? error : { code: "failed", message: "the handler has failed" };
            send = () => sendError(conn, packet.room, `:${tag}`, { code, message: message.replace(`${code}: `, "") });
        }
        calls.delete(tag) && conns.has(conn.id) && send();
    }

    function askServer(conn, packet, tag) {
        const { calls } = conn.exchange;
        if (calls.has(tag)) {
            return WRONG_TAG;
        }
        if (calls.size >= most) {
            return BUSY;
        }
        if (!isMember(conn, packet.room)) {
            return NOT_MEMBER;
        }
        if (!handlers.has(packet.event)) {
            return ["unknown", "no handler for requests with this event", true];
        }
        answer(conn, packet, tag);
        return undefined;
    }

    function askClient(conn, { room, event, payload, to }, id, tag) {
        const { asks } = conn.exchange;
        const receiver = conns.get(id);
        if (!receiver) {
            return UNKNOWN_RECEIVER;
        }
        if (!receiver.session) {
            return ["plain", "the receiver cannot answer requests"];
        }
        if (asks.has(tag)) {
            return WRONG_TAG;
        }
        if (asks.size >= most) {
            return BUSY;
        }
        asks.set(tag, id);
        receiver.deliver(encode(room, event, to, conn.id, payload));
        return undefined;
    }

    /** Handles a client's answer to a server request. */
    function answered(conn, { event, payload, room }, tag) {
        const { numbers } = conn.exchange;
        const request = numbers.get(tag);
        if (!request) {
            return ["unknown", "the request is over"];
        }
        if (event === REPLY) {
            request.end(undefined, toMessage({ room, event, payload }));
        } else {
            const { code: kind, message } = JSON.parse(toText(payload));
            request.end(new RoomerError("answer", `${kind}: ${message}`, { kind }));
        }
        return undefined;
    }

    return {
        /** Creates the state of a connection's requests. */
        createExchange: () => ({ calls: new Set(), asks: new Map(), numbers: new Map() }),
        handle: (event, handler) => void handlers.set(event, handler),
        /** Handles a client's request. Returns the reason if it is rejected. */
        ask(conn, packet) {
            const [id, tag] = splitTag(packet.to) ?? [];
            if (!tag) {
                return WRONG_TAG;
            }
            return id ? askClient(conn, packet, id, tag) : askServer(conn, packet, tag);
        },
        /**
         * Handles a client's answer. Returns the reason if it is rejected: a request can be answered once, and only by its
         * receiver.
         */
        reply(conn, packet) {
            const [id, tag] = splitTag(packet.to) ?? [];
            if (!tag) {
                return WRONG_TAG;
            }
            if (!id) {
                return answered(conn, packet, tag);
            }
            const asker = conns.get(id);
            if (!asker) {
                return UNKNOWN_RECEIVER;
            }
            if (asker.exchange.asks.get(tag) !== conn.id) {
                return ["unknown", "no request for this answer", true];
            }
            asker.exchange.asks.delete(tag);
            asker.deliver(encode(packet.room, packet.event, packet.to, conn.id, packet.payload));
            return undefined;
        },
        /** Sends a request from the server to a client. */
        request: (conn, room, event, payload, options) => new Promise((resolve, reject) => {
            const { timeout = 10_000, ...others } = readOptions(options);
            rejectUnknown(others);
            checkNumber("timeout", timeout, 0, Infinity);
            const { numbers } = conn.exchange;
            const fail = (kind, message) => reject(new RoomerError("answer", `${kind}: ${message}`, { kind }));
            if (!conns.has(conn.id)) {
                return fail("gone", "the client is not connected");
            }
            if (!conn.session) {
                return fail("plain", "the client answers no requests");
            }
            if (numbers.size >= most) {
                return fail(...BUSY);
            }
            const tag = `${++lastTag}`;
            const end = (error, answer) => {
                numbers.delete(tag);
                clock.clearTimeout(timer);
                error ? reject(error) : resolve(answer);
            };
            const timer = clock.setTimeout(() => end(new RoomerError("timeout", "no answer")), timeout);
            numbers.set(tag, { end });
            return conn.deliver(encode(room, event, `${conn.id}:${tag}`, "", toPayload(payload)));
        }),
        /** Ends the pending requests from and to a client that is gone. */
        gone(gone) {
            for (const asker of conns.values()) {
                for (const [tag, id] of asker.exchange.asks) {
                    if (id === gone.id) {
                        asker.exchange.asks.delete(tag);
                        const [code, message] = UNKNOWN_RECEIVER;
                        sendError(asker, "root", `${asker.id}:${tag}`, { code, message });
                    }
                }
            }
            for (const { end } of [...gone.exchange.numbers.values()]) {
                end(new RoomerError("answer", "gone: the client is gone", { kind: "gone" }));
            }
        }
    };
}
