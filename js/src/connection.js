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
 * Returns the rule by which the close codes of the client's own fault and of the application are final; the README has the reasons.
 * A program that slept could not renew its login in time, but a function has another token. Older servers also send 1008 to a
 * client that was too fast or suspended.
 */
const createRule = (token) => (code, reason) => {
    const end = `${code} ${reason}`;
    return /^(10(0[0237]|08(?! (rate|no sign of life)$)|10)|[3-9])/.test(end) && !(typeof token === "function" && end === "1008 login expired");
};

/** Returns an option that may be a function, also an async one. */
export const resolve = async (option) => (typeof option === "function" ? option() : option);

/**
 * Adds the connection to the core. It calls `core.received(data)`, which must not throw, and `core.changed(state, error)`.
 *
 * @param {object} core see core.js
 * @param {string | URL | (() => any)} url
 * @param {object} options of connect(), those for the connection
 */
export function createConnection(core, url, options) {
    const { token, tokenIn, signal, timeout, heartbeat = 30_000, isFinal = createRule(token), random = Math.random, reconnect, WebSocket, ...others } = options;
    const { minDelay = 500, maxDelay = 30_000, minUptime = 5_000, retries = reconnect === false ? 0 : Infinity, ...unknown } = reconnect || {};
    rejectUnknown({ ...others, ...unknown });
    /** A message is visible only once it is complete, so the default leaves time for a large one on a slow network. */
    const answerTime = timeout ?? 20_000;

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
        core.clock.clearTimeout(timer);
        timerEnd = core.clock.now() + delay;
        timer = core.clock.setTimeout(action, Math.min(delay, LONGEST_DELAY));
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
            const isOpen = core.state === "open";
            if (parts) {
                const limit = isOpen ? answerTime * patience + Math.floor(Math.max(largest, core.sent.bytes) / SLOWEST_NETWORK) * 1_000 : timeout ?? 10_000;
                setTimer(parts > 2 ? limit / 4 : 0, wait);
            } else {
                if (isOpen) {
                    patience = Math.min(2 * patience, Math.max(4, LONGEST_ANSWER / answerTime));
                }
                stop(new RoomerError("timeout", "no answer"));
            }
        })();
    };

    const setState = (state, error) => {
        core.state = state;
        core.changed(state, error);
    };

    /** Ends the connection, or the attempt. Waits for the next one, unless the end is final. */
    const stop = (error, isFinalError) => {
        const old = socket;
        if (core.state === "closed") {
            return;
        }
        // False if it has never been open: then `openedAt` is undefined.
        if (core.clock.now() - openedAt >= minUptime) {
            failures = 0;
        }
        socket = openedAt = undefined;
        core.clock.clearTimeout(timer);
        if (old) {
            // Some classes throw if there is no listener for errors.
            old.onopen = old.onmessage = old.onclose = old.onerror = () => {};
            core.hangUp(old, isFinalError ? 1000 : undefined);
        }
        if (isFinalError || failures >= retries) {
            listen("removeEventListener");
            setState("closed", isFinalError ? error : wrap("gave_up", error));
        } else {
            // Full jitter after the cap, so that the clients of a restarted server do not reconnect at once. Longer after `rate`.
            core.retryIn((error.reason === "rate" ? 1_000 : 0) + random() * Math.min(maxDelay, minDelay * 2 ** failures++));
            setState("suspended", error);
        }
    };

    const abort = () => {
        stop(createClosedError(signal.reason), true);
    };

    const attempt = async () => {
        const mine = (socket = {});
        expectAnswer();
        core.state === "connecting" || setState("connecting");
        try {
            const [address, pass] = await Promise.all([url, token].map(resolve));
            if (mine === socket) {
                use((socket = new Socket(core.toAddress(address, tokenIn ? null : pass), ...(tokenIn && pass != null ? [tokenIn(pass)] : []))));
            }
        } catch (cause) {
            mine === socket && stop(wrap("address", cause));
        }
    };

    const use = (fresh) => {
        fresh.binaryType = "arraybuffer";
        fresh.onopen = () => {
            openedAt = core.clock.now();
            core.opened();
        };
        fresh.onmessage = ({ data }) => {
            largest = Math.max(largest, data?.byteLength || 0);
            // Any message is as good as the answer.
            if (isProbing) {
                patience = 1;
            }
            // A timer costs more than a message: in a busy room it is set at most ten times a second.
            (isProbing || core.clock.now() + core.silence - timerEnd > 100) && scheduleHeartbeat();
            core.received(data);
        };
        fresh.onclose = ({ code = 1006, reason = "" }) => {
            const final = isFinal(code, reason);
            // Browsers hide why a connection does not open.
            const hint = openedAt >= 0 ? reason : "refused or unreachable";
            stop(new RoomerError(final ? "ended" : "lost", `${code} ${hint}`, { closeCode: code, reason }), final);
        };
        // Node 20 emits only "error" if it cannot connect.
        fresh.onerror = () => core.state === "connecting" && fresh.onclose({});
    };

    /** Waits until the server has been silent for too long, then probes. */
    const scheduleHeartbeat = () => {
        isProbing = false;
        core.silence ? setTimer(core.silence, sendProbe) : core.clock.clearTimeout(timer);
    };

    const sendProbe = () => {
        // A second probe would extend the time limit of the first.
        if (!isProbing) {
            isProbing = true;
            core.probe();
            expectAnswer();
        }
    };

    /** Handles a page that is visible, restored from the page cache, or online again. */
    const wake = () => {
        if (globalThis.document?.hidden) {
            return;
        }
        if (core.state === "open") {
            sendProbe();
        } else if (core.state === "suspended") {
            core.retryIn(Math.min(timerEnd - core.clock.now(), random() * minDelay));
        }
    };

    /** Adds or removes the listeners. */
    const listen = (method) => {
        globalThis.document?.[method]?.("visibilitychange", wake);
        globalThis[method]?.("pageshow", wake);
        globalThis[method]?.("online", wake);
        signal?.[method]("abort", abort);
    };

    Object.assign(core, {
        /** How long the server may be silent. */
        silence: heartbeat,
        toAddress,
        state: "idle",
        isReady: () => core.state === "open" && socket.readyState === 1,
        /** Handles a connection that may be used. */
        opened() {
            scheduleHeartbeat();
            core.state === "open" || setState("open");
        },
        transmit: ({ data }) => socket.send(data),
        /** Sets the time of the next attempt. */
        retryIn: (delay) => setTimer(delay, attempt),
        /** Closes a socket that is no longer used. */
        hangUp(old, code) {
            try {
                old.close(code);
            } catch {
                // Some classes throw, and an attempt may not have a socket yet.
            }
        },
        close: () => stop(undefined, true),
        /** Connects, if that has not begun; throws if it is impossible. */
        start() {
            if (core.state !== "idle") {
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
            core.state = "connecting";
            listen("addEventListener");
            attempt();
        }
    });
}
