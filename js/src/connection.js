/**
 * The lifecycle of the connection: attempts, waits, signs of life, the end. This module knows nothing about rooms.
 *
 *     idle ──▶ connecting ──▶ open ──▶ suspended ──▶ connecting …        any ──▶ closed
 *
 * Each state waits for one thing at a time, so there is one timer: in `connecting` for the attempt's time limit, in `open`
 * for the next sign of life, in `suspended` for the next attempt.
 *
 * @module connection
 */

import { toAddress } from "./address.js";
import { RoomerError, createClosedError, rejectUnknown, wrap } from "./error.js";
import { LONGEST_ANSWER, LONGEST_DELAY, SLOWEST_NETWORK } from "./limits.js";

/**
 * Returns true for the close codes of the client's own fault and of the application; the README has the reasons. Older servers
 * also send 1008 to a client that was too fast or suspended.
 */
const isFinalCode = (code, reason) => /^(10(0[0237]|08(?! (rate|no sign of life)$)|10)|[3-9])/.test(`${code} ${reason}`);

/** Closes a socket that is no longer used. */
export function hangUp(socket, code) {
    try {
        socket.close(code);
    } catch {
        // Some classes throw, and an attempt may not have a socket yet.
    }
}

/**
 * @param {string | URL | (() => any)} url
 * @param {object} options of connect(), those for the connection
 * @param {import("./index.js").Clock} clock
 * @param {object} session see session.js
 * @param {ReturnType<typeof import("./outbox.js").createOutbox>} outbox
 * @param {(buffer: ArrayBuffer, size: number) => void} received must not throw
 * @param {(state: string, error?: RoomerError) => void} changed
 * @param {(what: string, details: object) => void} trace
 */
export function createConnection(url, options, clock, session, outbox, received, changed, trace) {
    const { token, tokenIn, signal, timeout, heartbeat = 30_000, isFinal = isFinalCode, random = Math.random, reconnect, WebSocket, ...others } = options;
    const { minDelay = 500, maxDelay = 30_000, minUptime = 5_000, retries = reconnect === false ? 0 : Infinity, ...unknown } = reconnect || {};
    rejectUnknown({ ...others, ...unknown });
    /** A message is visible only once it is complete, so the default leaves time for a large one on a slow network. */
    const answerTime = timeout ?? 20_000;

    let state = "idle";
    let Socket;
    /** The socket, or before there is one an object for the current attempt; results of older attempts are ignored. */
    let socket;
    let timer;
    let timerEnd;
    let failures = 0;
    let openedAt;
    let isProbing;
    /** Factor of the time limit of an answer: doubled by each connection that timed out. */
    let patience = 1;
    let largest = 0;

    /** Sets the only timer. */
    const setTimer = (delay, action) => {
        clock.clearTimeout(timer);
        timerEnd = clock.now() + delay;
        timer = clock.setTimeout(action, Math.min(delay, LONGEST_DELAY));
    };

    /** Ends the connection, or the attempt, if the server does not answer in time. */
    const expectAnswer = () => {
        // The time limit has four parts: a suspended program, however long it was, loses only one of them. Two more parts without a delay let the
        // socket's events run before the connection counts as lost.
        let parts = 7;
        let backlog;
        (function wait() {
            const before = backlog;
            backlog = socket?.bufferedAmount;
            // While the network accepts bytes, the server may still answer.
            parts = backlog < before ? 6 : parts - 1;
            const isOpen = state === "open";
            if (parts) {
                const limit = isOpen ? answerTime * patience + Math.floor(Math.max(largest, outbox.sentBytes()) / SLOWEST_NETWORK) * 1_000 : timeout ?? 10_000;
                setTimer(parts > 2 ? limit / 4 : 0, wait);
            } else {
                if (isOpen) {
                    patience = Math.min(2 * patience, Math.max(4, LONGEST_ANSWER / answerTime));
                }
                stop(new RoomerError("timeout", "no answer"));
            }
        })();
    };

    const setState = (next, error) => {
        state = next;
        changed(state, error);
    };

    /** Ends the connection, or the attempt. Waits for the next one, unless the end is final. */
    const stop = (error, isFinalError) => {
        if (state === "closed") {
            return;
        }
        const old = socket;
        // False if it has never been open: then `openedAt` is undefined.
        if (clock.now() - openedAt >= minUptime) {
            failures = 0;
        }
        socket = openedAt = undefined;
        clock.clearTimeout(timer);
        if (old) {
            // Some classes throw if there is no listener for errors.
            old.onopen = old.onmessage = old.onclose = old.onerror = () => {};
            isFinalError ? hangUp(old, 1000) : session.abandon?.(old) || hangUp(old);
        }
        if (isFinalError || failures >= retries) {
            listen("removeEventListener");
            setState("closed", isFinalError ? error : wrap("gave_up", error));
        } else {
            // Full jitter after the cap, so that the clients of a restarted server do not reconnect at once. Longer after `rate`.
            const delay = (error.reason === "rate" ? 1_000 : 0) + random() * Math.min(maxDelay, minDelay * 2 ** failures++);
            // A server that ends spreads its clients over a time that it chooses.
            setTimer(+/^retry=(\d+)$/.exec(error.reason)?.[1] || delay, attempt);
            setState("suspended", error);
        }
    };

    const abort = () => {
        stop(createClosedError(signal.reason), true);
    };

    const attempt = async () => {
        const mine = (socket = {});
        expectAnswer();
        state === "connecting" || setState("connecting");
        try {
            const [address, pass] = await Promise.all([url, token].map(async (value) => (typeof value === "function" ? value() : value)));
            if (mine === socket) {
                const protocols = tokenIn && pass != null ? [tokenIn(pass)] : [];
                const target = toAddress(address, protocols.length ? undefined : pass, session.query?.());
                trace("connect", { url: target.split("?")[0] });
                use(new Socket(target, ...protocols));
            }
        } catch (cause) {
            mine === socket && stop(wrap("address", cause));
        }
    };

    const use = (fresh) => {
        socket = fresh;
        fresh.binaryType = "arraybuffer";
        fresh.onopen = () => {
            openedAt = clock.now();
            // A client that returns to a session learns from the first packet whether that continues, and sends nothing before.
            session.isKept?.() || opened();
        };
        fresh.onmessage = ({ data }) => {
            const size = data?.byteLength || 0;
            largest = Math.max(largest, size);
            // Any message is as good as the answer.
            if (isProbing) {
                patience = 1;
            }
            // A timer costs more than a message: in a busy room it is set at most ten times a second.
            (isProbing || clock.now() + silence() - timerEnd > 100) && scheduleHeartbeat();
            received(data, size);
        };
        fresh.onclose = ({ code = 1006, reason = "" }) => {
            const final = isFinal(code, reason);
            stop(new RoomerError(final ? "ended" : "lost", `${code} ${reason}`, { closeCode: code, reason }), final);
        };
        // Node 20 emits only "error" if it cannot connect.
        fresh.onerror = () => state === "connecting" && fresh.onclose({});
    };

    /** Handles a connection that may be used: its state is known. */
    const opened = () => {
        scheduleHeartbeat();
        state === "open" || setState("open");
    };

    /** Returns how long the server may be silent. */
    const silence = () => session.silence?.(heartbeat) ?? heartbeat;

    /** Waits until the server has been silent for too long, then probes. */
    const scheduleHeartbeat = () => {
        isProbing = false;
        heartbeat ? setTimer(silence(), sendProbe) : clock.clearTimeout(timer);
    };

    const sendProbe = () => {
        // A second probe would extend the time limit of the first.
        if (!isProbing) {
            isProbing = true;
            outbox.probe();
            expectAnswer();
        }
    };

    /** Handles a page that is visible, restored from the page cache, or online again. */
    const wake = () => {
        if (globalThis.document?.visibilityState === "hidden") {
            return;
        }
        if (state === "open") {
            sendProbe();
        } else if (state === "suspended") {
            setTimer(Math.min(timerEnd - clock.now(), random() * minDelay), attempt);
        }
    };

    /** Adds or removes the listeners. */
    const listen = (method) => {
        globalThis.document?.[method]?.("visibilitychange", wake);
        globalThis[method]?.("pageshow", wake);
        globalThis[method]?.("online", wake);
        signal?.[method]("abort", abort);
    };

    return {
        state: () => state,
        isReady: () => state === "open" && socket.readyState === 1,
        opened,
        send: (data) => socket.send(data),
        close: () => stop(undefined, true),
        /** Connects, if that has not begun; throws if it is impossible. */
        start() {
            if (state !== "idle") {
                return;
            }
            if (signal?.aborted) {
                return abort();
            }
            Socket = WebSocket ?? globalThis.WebSocket;
            if (!Socket) {
                throw new RoomerError("no_websocket", "no option WebSocket");
            }
            try {
                typeof url === "function" || toAddress(url);
            } catch (cause) {
                throw wrap("argument", cause);
            }
            state = "connecting";
            listen("addEventListener");
            attempt();
        }
    };
}
