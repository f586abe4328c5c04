/** The feature behind `room.request()` and `room.handle()`: requests with one answer each, to the server and to other clients.
 *
 * A request is a message whose receiver ends with a colon and a tag. The tag matches the request with its answer. The server
 * limits the number of unanswered requests, separately for requests to itself and to other clients. Further requests wait in the
 * queue.
 *
 * @module requests
 */

import { RoomerError, check, rejectUnknown, wrap } from "./error.js";
import { extendRooms, takePackets } from "./feature.js";
import { ERROR, HELLO, LONGEST_DELAY, MOST_REQUESTS, REPLY } from "./limits.js";
import { Items } from "./outbox.js";
import { toBytes, toText } from "./packet.js";
import { readOptions } from "./options.js";
import { checkName, isReserved } from "./room.js";

/** @param {object} core see core.js */
export function requests(core) {
    /** Pending requests, by tag. */
    const pending = new Map();
    let lastTag = 0;
    const plain = { ...core };
    /** The maximum number of unanswered requests of each kind. */
    let most = MOST_REQUESTS;
    /** The number of requests that were sent and have no answer: to the server (false), and to other clients (true). */
    const open = { false: 0, true: 0 };
    Object.assign(core, {
        /** Requests above the server's limit are also limited separately in the queue, and messages do not wait for them. */
        send(item) {
            // Usually no requests exceed the limit. Counting the queue for each message would take quadratic time.
            if (pending.size <= most) {
                return plain.send(item);
            }
            const free = { false: most - open.false, true: most - open.true };
            const parts = { false: new Items(), true: new Items() };
            const partOf = ({ tag, to }) => parts[!!tag && free[!!to]-- <= 0];
            core.queue.forEach((each) => partOf(each).add(each));
            return plain.send(item, partOf(item));
        },
        isOpen: (item) => (!item.tag || open[!!item.to] < most) && plain.isOpen(item),
        transmit(item) {
            // A session that continues may transmit an item again.
            if (item.tag && !item.isCounted) {
                item.isCounted = true;
                open[!!item.to]++;
            }
            plain.transmit(item);
        }
    });

    /** If the server permits no requests, fails a request as the server would. Otherwise the request would wait forever. */
    const refuse = ({ answered }) => answered(false, toBytes('{"code":"busy","message":"the server permits none"}'));
    const failAll = (code, fits, cause) => pending.forEach((request) => fits(request) && request.fail(code, cause));

    /** Runs a request's handler immediately, and sends its result as the answer. */
    const answer = async ({ room: name, event, from, payload }, tag, room) => {
        const askedAs = core.client.id;
        // Answer only in the session in which the request arrived: the end of the session has ended the request.
        const post = (type, bytes) => askedAs === core.client.id && core.post(type, bytes, name, `${from}:${tag}`);
        const fail = (code, message = code) => post(ERROR, toBytes(JSON.stringify({ code, message })));
        const handler = room?.handlers.get(event);
        let code = "invalid";
        let result;
        if (!handler) {
            return fail("unknown");
        }
        try {
            const value = room.codec.decode(payload);
            code = "failed";
            try {
                result = await handler(value, from);
            } catch (error) {
                if (error?.name === "RoomerError") {
                    // A RoomerError's text is meant for the requester. Any other error's text may be confidential.
                    return fail(error.kind ?? error.code, error.message);
                }
                throw error;
            }
            post(REPLY, result === undefined ? toBytes("") : room.codec.encode(result));
        } catch (error) {
            // Either the handler has failed, the codec cannot decode the request or encode the answer, or the answer is too
            // large.
            core.report(wrap("listener", error, event));
            fail(code);
        }
    };

    // A new session ends the pending requests. Those still queued will be sent in it, and those of a leaving room fail when the
    // room closes.
    core.client.on(HELLO, (hello) => {
        most = hello?.limits?.requests ?? MOST_REQUESTS;
        most || pending.forEach(refuse);
        hello?.resumed || failAll(hello ? "unknown" : "plain", ({ item, room }) => !hello || !(core.queue.has(item) || room.api.state === "leaving"));
    });

    extendRooms(core, (room) => {
        const handlers = (room.handlers = new Map());
        room.api.handle = (event, handler) => {
            checkName(event, isReserved(event));
            check(!handlers.has(event) && typeof handler === "function", `handler of "${event}"`);
            handlers.set(event, handler);
            return () => handlers.get(event) === handler && handlers.delete(event);
        };
        room.api.request = (event, payload, options) => new Promise((resolve, reject) => {
            const { timeout = 10_000, signal, to, ...others } = readOptions(options);
            rejectUnknown(others);
            check(typeof timeout === "number" && timeout > 0, "timeout: more than 0, Infinity for none");
            const tag = `${++lastTag}`;
            const item = room.createItem(event, payload, to, `:${tag}`);
            const end = (settle, result) => {
                pending.delete(tag);
                core.queue.has(item) && core.drop(item);
                core.clock.clearTimeout(timer);
                signal?.removeEventListener("abort", abort);
                settle(result);
                open[!!to] -= item.isCounted ? 1 : 0;
                core.pump();
            };
            const fail = (code, cause) => end(reject, wrap(code, cause, event));
            const abort = () => fail("aborted", signal.reason);
            /** Called if the queued request exceeds the size limit that the server has announced. */
            item.fail = (error) => end(reject, error);
            const timer = core.clock.setTimeout(() => fail("timeout"), Math.min(timeout, LONGEST_DELAY));
            signal?.addEventListener("abort", abort);
            pending.set(tag, {
                room,
                item,
                fail,
                answered(isReply, bytes) {
                    try {
                        if (isReply) {
                            end(resolve, room.codec.decode(bytes));
                        } else {
                            const { code, message } = JSON.parse(toText(bytes));
                            end(reject, new RoomerError("answer", `${code}: ${message}`, { kind: code }));
                        }
                    } catch (cause) {
                        fail("payload", cause);
                    }
                }
            });
            if (signal?.aborted) {
                abort();
            } else if (!core.isKept || core.isOn === false) {
                fail("plain");
            } else if (!most) {
                refuse(pending.get(tag));
            } else if (core.send(item) === "dropped") {
                fail("dropped");
            }
        });
        // This listener runs before the application's, and the application cannot remove it.
        room.api.on("close", (error) => failAll("closed", (request) => request.room === room, error));
    });
    takePackets(core, (packet, room) => {
        const { event, to, payload } = packet;
        const [, tag] = (core.isOn && /:(\w+)$/.exec(to)) || [];
        if (event === REPLY || event === ERROR) {
            pending.get(tag)?.answered(event === REPLY, payload);
        } else if (tag && !isReserved(event)) {
            answer(packet, tag, room);
        }
        return tag;
    });
}
