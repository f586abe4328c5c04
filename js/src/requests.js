/**
 * The feature `room.request()` and `room.handle()`: questions that have one answer each, to the server and to other clients.
 *
 * A request is a message whose receiver ends in a colon and a tag, by which its answer finds it.
 *
 * @module requests
 */

import { RoomerError, check, createClosedError, rejectUnknown, wrap } from "./error.js";
import { ERROR, LONGEST_DELAY, REPLY } from "./limits.js";
import { toBytes, toText } from "./packet.js";
import { checkName, isReserved } from "./room.js";

/** @param {object} core see core.js */
export const requests = ({ clock, session, outbox, report, id }) => {
    /** The requests without an answer, by tag. */
    const pending = new Map();
    let lastTag = 0;

    const createPlainError = () => new RoomerError("plain", "the server has no requests");
    const failAll = (error, fits) => pending.forEach((request) => fits(request) && request.end(error));

    /** Has a handler answer a request; it starts at once. */
    const answer = async ({ room: name, event, from, payload }, tag, room) => {
        const askedAs = id();
        const handler = room?.handlers.get(event);
        let code = "unknown";
        let message = event;
        let reply;
        try {
            if (handler) {
                code = "invalid";
                const value = room.codec.decode(payload);
                code = "failed";
                reply = room.encodeValue(await handler(value, from));
            }
        } catch (error) {
            if (error?.name === "RoomerError") {
                // Made for the asker. Any other text may be a secret.
                code = error.kind ?? error.code;
                message = error.message;
            } else {
                report(wrap("listener", error, event));
            }
        }
        // A request ends with its session.
        askedAs === id() && outbox.post(reply ? REPLY : ERROR, reply ?? toBytes(JSON.stringify({ code, message })), name, `${from}:${tag}`);
    };

    /** Ends a request with its answer. */
    const answered = ({ event, payload }, { room, end }) => {
        try {
            if (event === REPLY) {
                return end(undefined, room.codec.decode(payload));
            }
            const { code, message } = JSON.parse(toText(payload));
            end(new RoomerError("answer", `${code}: ${message}`, { kind: code }));
        } catch (cause) {
            end(wrap("payload", cause));
        }
    };

    return {
        room(room) {
            const handlers = (room.handlers = new Map());
            room.api.handle = (event, handler) => {
                checkName(event, isReserved(event));
                check(!handlers.has(event) && typeof handler === "function", `handler of "${event}"`);
                handlers.set(event, handler);
                return () => {
                    handlers.get(event) === handler && handlers.delete(event);
                };
            };
            room.api.request = (event, payload, { timeout = 10_000, signal, to, ...others } = {}) => new Promise((resolve, reject) => {
                rejectUnknown(others);
                room.checkMessage(event, to);
                const tag = `${++lastTag}`;
                const item = { ...room.createItem(event, payload, `${to ?? ""}:${tag}`), isRequest: true };
                const end = (error, value) => {
                    pending.delete(tag);
                    outbox.withdraw(item);
                    clock.clearTimeout(timer);
                    signal?.removeEventListener("abort", abort);
                    error ? reject(error) : resolve(value);
                };
                const abort = () => end(wrap("aborted", signal.reason));
                const timer = clock.setTimeout(() => end(new RoomerError("timeout", "no answer")), Math.min(timeout, LONGEST_DELAY));
                signal?.addEventListener("abort", abort);
                pending.set(tag, { room, item, end });
                if (signal?.aborted) {
                    abort();
                } else if (session.isOn === false) {
                    end(createPlainError());
                } else if (outbox.send(item) === "dropped") {
                    end(new RoomerError("dropped", "the queue is full"));
                }
            });
        },
        packet(packet, room) {
            const { event, to } = packet;
            const [, tag] = (session.isOn && /:(\w+)$/.exec(to)) || [];
            if (event === REPLY || event === ERROR) {
                pending.has(tag) && answered(packet, pending.get(tag));
            } else if (tag && !isReserved(event)) {
                answer(packet, tag, room);
            }
            return tag;
        },
        greeted(hello) {
            if (!hello) {
                failAll(createPlainError(), () => true);
            } else if (!hello.resumed) {
                failAll(new RoomerError("unknown", "the session has ended"), ({ item }) => !outbox.isQueued(item));
            }
        },
        closed: (closed, error) => failAll(createClosedError(error), ({ room }) => room === closed)
    };
};
