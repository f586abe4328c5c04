/** The lifecycle of the connection: attempts, delays, keep-alive and close. This module does not deal with rooms.
 *
 *     idle ──▶ connecting ──▶ open ──▶ suspended ──▶ connecting …        any ──▶ closed
 *
 * Each state waits for one event at a time, so a single timer suffices. It is set to the attempt's timeout in `connecting`, to
 * the next heartbeat check in `open`, and to the next attempt in `suspended`.
 *
 * @module connection
 */

import { toAddress } from "./address.js";
import { RoomerError, check, createClosedError, rejectUnknown, wrap } from "./error.js";
import { LONGEST_ANSWER, LONGEST_DELAY, MOST_UNPROBED, SLOWEST_NETWORK } from "./limits.js";

/**
 * Returns the default rule for final close codes: those that report a client error, and those chosen by applications. The README
 * explains each. 1008 is not always final: servers also send it to a client that exceeded a rate, and older ones to a client that
 * showed no sign of life. A program that was suspended could not renew its login in time, but a token function can provide a new
 * token.
 */
const createRule = (token) => (code, reason) => {
    const end = `${code} ${reason}`;
    return /^(10(0[0237]|08(?! (rate|no sign of life)$)|10)|[34]\d{3}) /.test(end) && !(typeof token === "function" && end === "1008 login expired");
};

/** Returns the value of an option that may be a plain value, a function or an async function. */
export const resolve = async (option) => (typeof option === "function" ? option() : option);

/**
 * Adds the connection to the core. It calls `core.received(data)`, which must not throw, and `core.changed(state, error)`.
 *
 * @param {object} core see core.js
 * @param {string | URL | (() => any)} url
 * @param {object} options connect()'s options for the connection
 */
export function createConnection(core, url, options) {
    const { token, tokenIn, signal, timeout, heartbeat = 30_000, isFinal = createRule(token), random = Math.random, reconnect, WebSocket, ...others } = options;
    const { minDelay = 500, maxDelay = 30_000, minUptime = 5_000, retries = reconnect === false ? 0 : Infinity, ...unknown } = reconnect || {};
    rejectUnknown({ ...others, ...unknown });
    check(!tokenIn || typeof tokenIn === "function", "tokenIn");
    /**
     * The time to wait for the answer to a probe. A message is visible only once it is complete, so the default allows for a
     * large message on a slow network.
     */
    const answerTime = timeout ?? 20_000;

    let Socket;
    /** The socket, or a placeholder object while an attempt has none yet. Events of earlier attempts are ignored. */
    let socket;
    let timer;
    let timerEnd;
    let failures = 0;
    let openedAt;
    let isProbing;
    /** A factor of the answer timeout, doubled each time an open connection times out. */
    let patience = 1;
    let largest = 0;

    /** Replaces the connection's only timer. */
    const setTimer = (delay, action) => {
        core.clock.clearTimeout(timer);
        timerEnd = core.clock.now() + delay;
        timer = core.clock.setTimeout(action, Math.min(delay, LONGEST_DELAY));
    };

    /** Ends the connection or the attempt if the server does not answer in time. */
    const expectAnswer = () => {
        // Divide the timeout into four parts, since a suspension of the program, however long, consumes only one of them. Two
        // more parts without a delay let pending socket events run before the connection counts as lost.
        let parts = 7;
        let backlog;
        (function wait() {
            const before = backlog;
            backlog = socket?.bufferedAmount;
            // As long as the network accepts bytes, the server may still answer.
            parts = backlog < before ? 6 : parts - 1;
            const isOpen = core.state === "open";
            if (parts) {
                // A plain server answers the probe only after the messages sent before it, which it may slow to one per second. In
                // a session, the answer does not wait for these messages.
                const seconds = ((Math.max(largest, core.sent.bytes) / SLOWEST_NETWORK) | 0) + (core.isOn ? 0 : Math.min(core.sent.size - 1, MOST_UNPROBED));
                const limit = isOpen ? answerTime * patience + seconds * 1_000 : timeout ?? 10_000;
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
        core.changed((core.state = state), error);
    };

    /** Ends the connection or the attempt, and schedules the next one unless the end is final. */
    const stop = (error, isFinalError) => {
        const old = socket;
        if (core.state === "closed") {
            return;
        }
        // For a connection that was never open, `openedAt` is undefined and the comparison is false.
        if (core.clock.now() - openedAt >= minUptime) {
            failures = 0;
        }
        socket = openedAt = isProbing = undefined;
        core.clock.clearTimeout(timer);
        if (old) {
            // Some WebSocket classes throw if there is no error listener.
            old.onopen = old.onmessage = old.onclose = old.onerror = () => {};
            core.hangUp(old, isFinalError ? 1000 : undefined);
        }
        if (isFinalError || failures >= retries) {
            listen("removeEventListener");
            setState("closed", isFinalError ? error : wrap("gave_up", error));
        } else {
            // Apply full jitter after the cap, so that a restarted server's clients reconnect at different times. After a close
            // with `rate`, wait at least a second.
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
        core.state !== "connecting" && setState("connecting");
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
            // Any message counts as the answer to a probe.
            if (isProbing) {
                patience = 1;
            }
            // Setting a timer costs more than handling a message, so in a busy room, set it at most ten times a second.
            (isProbing || core.clock.now() + core.silence - timerEnd > 100) && scheduleHeartbeat();
            core.received(data);
        };
        fresh.onclose = ({ code = 1006, reason = "" }) => {
            const final = isFinal(code, reason);
            // Browsers do not expose why a connection fails to open.
            stop(new RoomerError(final ? "ended" : "lost", `${code} ${openedAt >= 0 ? reason : "refused or unreachable"}`, { closeCode: code, reason }), final);
        };
        // Node 20 emits only "error" if it cannot connect.
        fresh.onerror = () => core.state === "connecting" && fresh.onclose({});
    };

    /** Sets the timer that sends a probe if the server is silent for too long. */
    const scheduleHeartbeat = () => {
        isProbing = false;
        core.silence ? setTimer(core.silence, sendProbe) : core.clock.clearTimeout(timer);
    };

    const sendProbe = () => {
        // A second probe would extend the timeout of the first.
        if (!isProbing) {
            isProbing = true;
            core.probe();
            expectAnswer();
        }
    };

    /** Called when the page becomes visible, is restored from the page cache, or goes online. */
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

    /** Adds or removes the page's listeners for `wake`. */
    const listen = (method) => {
        globalThis.document?.[method]?.("visibilitychange", wake);
        globalThis[method]?.("pageshow", wake);
        globalThis[method]?.("online", wake);
        signal?.[method]("abort", abort);
    };

    Object.assign(core, {
        /** The time for which the server may be silent, in milliseconds. */
        silence: heartbeat,
        token,
        toAddress,
        state: "idle",
        isReady: () => core.state === "open" && socket.readyState === 1,
        /** Called when the connection is open and ready for use. */
        opened() {
            scheduleHeartbeat();
            core.state === "open" || setState("open");
        },
        transmit: ({ data }) => socket.send(data),
        /** Sets the delay until the next attempt. */
        retryIn: (delay) => setTimer(delay, attempt),
        /** Closes a socket that the client no longer uses. */
        hangUp(old, code) {
            try {
                old.close(code);
            } catch {
                // Some WebSocket classes throw here, and the placeholder of an attempt has no close().
            }
        },
        close: () => stop(undefined, true),
        /** Begins to connect, unless the client has begun already. Throws if the client cannot connect at all. */
        start() {
            if (core.state !== "idle") {
                return;
            }
            if (signal?.aborted) {
                return abort();
            }
            Socket = WebSocket ?? globalThis.WebSocket;
            if (!Socket) {
                throw new RoomerError("no_websocket", "pass the option WebSocket");
            }
            try {
                typeof url === "function" || core.toAddress(url);
            } catch (cause) {
                throw wrap("argument", cause);
            }
            core.state = "connecting";
            listen("addEventListener");
            attempt();
        }
    });
}
