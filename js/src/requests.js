/**
 * The feature `room.request()` and `room.handle()`: questions that have one answer each, to the server and to other clients.
 *
 * A request is a message whose receiver ends in a colon and a tag, by which its answer finds it.
 *
 * @module requests
 */

import { RoomerError, check, createClosedError, rejectUnknown, wrap } from "./error.js";
import { ERROR, LONGEST_DELAY, REPLY } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { checkName, isReserved } from "./room.js";

const createPlainError = () => new RoomerError("plain", "the server has no requests");

/** @param {object} core see core.js */
export const requests = ({ clock, session, outbox, report, id, isPlain }) => {
    /** The requests without an answer, by tag. */
    const pending = new Map();
    let lastTag = 0;

    const failAll = (error, fits = () => true) => [...pending.values()].forEach((request) => fits(request) && request.end(error));

    /** Has a handler answer a request; it starts at once. */
    const answer = async ({ room: name, event, from, payload }, tag, room) => {
        const askedAs = id();
        const to = `${from}:${tag}`;
        const handler = room?.handlers.get(event);
        let kind = "unknown";
        let message = "no handler";
        let item;
        try {
            if (handler) {
                kind = "invalid";
                const value = room.codec.decode(payload);
                kind = "failed";
                item = room.createItem(REPLY, await handler(value, from), to);
            }
        } catch (error) {
            message = "the handler has failed";
            if (error?.name === "RoomerError") {
                // Made for the asker. Any other text may be a secret.
                kind = error.kind ?? error.code;
                message = error.message;
            } else {
                report(wrap("listener", error, event));
            }
        }
        item ??= { room: name, event: ERROR, to, data: encode(name, ERROR, to, "", toBytes(JSON.stringify({ code: kind, message }))) };
        item.isRequest = true;
        // A request ends with its session.
        askedAs === id() && outbox.post(item);
    };

    /** Ends a request with its answer. */
    const answered = ({ event, payload }, { room, end }) => {
        try {
            if (event === REPLY) {
                end(undefined, room.codec.decode(payload));
            } else {
                const { code: kind, message } = JSON.parse(toText(payload));
                end(new RoomerError("answer", `${kind}: ${message}`, { kind }));
            }
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
                } else if (isPlain()) {
                    end(createPlainError());
                } else if (outbox.send(item) === "dropped") {
                    end(new RoomerError("dropped", "the queue is full"));
                }
            });
        },
        packet(packet, room) {
            const [, tag] = (session.isOn && /:(\w+)$/.exec(packet.to)) || [];
            if (packet.event === REPLY || packet.event === ERROR) {
                pending.has(tag) && answered(packet, pending.get(tag));
            } else if (tag && !isReserved(packet.event)) {
                answer(packet, tag, room);
            }
            return tag;
        },
        greeted(hello) {
            hello || failAll(createPlainError());
        },
        ended: () => failAll(new RoomerError("unknown", "the session has ended"), ({ item }) => !outbox.isQueued(item)),
        closed: (closed, error) => failAll(createClosedError(error), ({ room }) => room === closed)
    };
};
