/**
 * The life of the connection: attempts, waits, signs of life, the end. Knows nothing of rooms.
 *
 *     idle ──▶ connecting ──▶ open ──▶ suspended ──▶ connecting …        any ──▶ closed
 *
 * Each state waits for one thing at a time, so there is one timer: in `connecting` for the attempt's time limit, in `open`
 * for the next sign of life, in `suspended` for the next attempt.
 *
 * @module link
 */

import { toAddress, toProtocols } from "./address.js";
import { RoomerError, check, checkKeys } from "./error.js";

/** Close codes of the client's own fault, and those of the application. The README has the reasons. */
const FINAL = [1000, 1002, 1003, 1007, 1008, 1010];
/** What older servers say with 1008 to a client that only stood still, or was too fast. */
const NO_FAULT = ["rate", "no sign of life"];

/** Above it, setTimeout() does not wait at all. */
const LONGEST_DELAY = 2 ** 31 - 1;
/** The least that a link is taken to carry, in bytes per second: larger messages get more time. */
const SLOWEST_LINK = 2 ** 16;
/** How long an answer may take at least, in milliseconds, before nothing but a dead connection explains its absence. */
const LONGEST_ANSWER = 60_000;
/** A timer that is so late says that the program stood still, in milliseconds. */
const LATE = 100;

const isFinalCode = (code, reason) => code > 2999 || (FINAL.includes(code) && !(code === 1008 && NO_FAULT.includes(reason)));

/** The value itself, or what a function gives; what it throws comes as a rejection. */
const call = async (value) => (typeof value === "function" ? value() : value);

/** What the browser tells us when the world may have changed: back to the tab, out of the page cache, online again. */
function watchWorld(wake) {
    const { document } = globalThis;
    const sources = [[document, "visibilitychange"], [globalThis, "pageshow"], [globalThis, "online"]];
    const listener = () => document?.visibilityState === "hidden" || wake();
    sources.forEach(([target, event]) => target?.addEventListener?.(event, listener));
    return () => sources.forEach(([target, event]) => target?.removeEventListener?.(event, listener));
}

/**
 * @param {string | URL | (() => any)} url
 * @param {object} options those of connect()
 * @param {import("./index.js").Clock} clock
 * @param {object} hooks
 * @param {() => void} hooks.probe send what the server surely answers
 * @param {() => number} hooks.underWay bytes that the server has not confirmed
 * @param {() => void} hooks.opened the socket is open: send what must be first
 * @param {(buffer: ArrayBuffer) => void} hooks.received must not throw
 * @param {(state: string, error?: RoomerError) => void} hooks.changed
 * @param {(what: string, details: object) => void} hooks.debug
 */
export function createLink(url, options, clock, { probe, underWay, opened, received, changed, debug }) {
    const { token, tokenIn, signal, timeout = 10_000, heartbeat = 30_000, isFinal = isFinalCode, random = Math.random } = options;
    const { minDelay = 500, maxDelay = 30_000, minUptime = 5_000, retries = Infinity } =
        checkKeys(options.reconnect || {}, "minDelay maxDelay minUptime retries", "reconnect");
    const mostRetries = options.reconnect === false ? 0 : retries;
    /** A message shows only when it is whole, so the default gives a large one on a slow link some time. */
    const answerTime = options.timeout ?? 2 * timeout;

    let state = "idle";
    let Socket;
    let socket;
    /** The attempt under way or in use; what belongs to an older one is ignored. */
    let current;
    let timer;
    let timerEnd = 0;
    let failures = 0;
    let openedAt;
    let heardAt = 0;
    let probing = false;
    /** How much longer than usual an answer may take: doubled by each connection that we gave up for silence. */
    let patience = 1;
    let largest = 0;
    let backlog = 0;
    let unwatch = () => {};

    /** Bytes that the socket has taken and the network has not. */
    const readBacklog = () => socket?.bufferedAmount ?? 0;

    /** Sets the one timer. */
    function arm(delay, action) {
        clock.clearTimeout(timer);
        timerEnd = clock.now() + delay;
        timer = clock.setTimeout(action, Math.min(delay, LONGEST_DELAY));
    }

    /** Gives the server a time limit; says when it is over that the connection is. */
    function allow(limit) {
        let excuses = 2;
        let looks = 2;
        backlog = readBacklog();
        arm(limit(), function judge() {
            const before = backlog;
            backlog = readBacklog();
            if (backlog < before || (clock.now() - timerEnd > LATE && excuses-- > 0)) {
                // The network takes our bytes; or this program stood still, and so did the clock that it was judged by.
                arm(limit(), judge);
            } else if (looks-- > 0) {
                // What lies in the socket already is read before.
                arm(0, judge);
            } else {
                patience = state === "open" ? Math.min(2 * patience, Math.max(4, LONGEST_ANSWER / answerTime)) : patience;
                lost(new RoomerError("timeout", "the server does not answer"));
            }
        });
    }

    /** Lets go of the socket, which may say what it likes from now on. */
    function release(code) {
        const old = socket;
        current = socket = openedAt = undefined;
        probing = false;
        clock.clearTimeout(timer);
        if (old) {
            old.onopen = old.onmessage = old.onclose = null;
            // Some classes throw if nobody listens to errors.
            old.onerror = () => {};
            try {
                old.close(code);
            } catch {
                // It is of no more use anyway.
            }
        }
    }

    function become(next, error) {
        state = next;
        changed(next, error);
    }

    function end(error, code) {
        if (state !== "closed") {
            release(code);
            unwatch();
            signal?.removeEventListener("abort", abort);
            become("closed", error);
        }
    }

    function abort() {
        end(new RoomerError("closed", "the signal has closed this client", { cause: signal.reason }), 1000);
    }

    /** The connection, or the attempt at one, has come to nothing. */
    function lost(error, final) {
        // Not if it has never been open: then there is nothing to compare.
        if (clock.now() - openedAt >= minUptime) {
            failures = 0;
        }
        release();
        if (final) {
            return end(error);
        }
        if (failures >= mostRetries) {
            return end(new RoomerError("gave_up", `no connection after ${retries} retries; connect() starts anew`, { cause: error }));
        }
        // Full jitter after the cap: a crowd that lost its server does not come back as one. Who was too fast waits longer.
        arm((error.reason === "rate" ? 1_000 : 0) + random() * Math.min(maxDelay, minDelay * 2 ** failures++), attempt);
        become("suspended", error);
    }

    async function attempt() {
        const mine = (current = {});
        allow(() => timeout);
        if (state !== "connecting") {
            become("connecting");
        }
        try {
            const [address, pass] = await Promise.all([call(url), call(token)]);
            if (mine === current) {
                const inProtocol = tokenIn === "protocol" && pass != null;
                const target = toAddress(address, inProtocol ? undefined : pass);
                debug("connect", { url: target.split("?")[0] });
                use(inProtocol ? new Socket(target, toProtocols(pass)) : new Socket(target));
            }
        } catch (cause) {
            if (mine === current) {
                lost(new RoomerError("address", "this attempt got no good address or token: see the cause", { cause }));
            }
        }
    }

    function use(fresh) {
        socket = fresh;
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
            state = "open";
            openedAt = heardAt = clock.now();
            beat();
            opened();
            changed(state);
        };
        socket.onmessage = ({ data }) => {
            heardAt = clock.now();
            largest = Math.max(largest, data?.byteLength || 0);
            // Whatever came is as good as the answer.
            if (probing) {
                patience = 1;
                beat();
            }
            received(data);
        };
        socket.onclose = ({ code = 1006, reason = "" }) => {
            const final = isFinal(code, reason);
            lost(new RoomerError(final ? "ended" : "lost", `the connection has ended: ${code} ${reason}`, { closeCode: code, reason }), final);
        };
        // Node 20 emits "error" alone if it cannot connect.
        socket.onerror = () => openedAt === undefined && fresh.onclose({});
    }

    /** Waits until the server has been silent for so long that it should be asked. */
    function beat() {
        probing = false;
        clock.clearTimeout(timer);
        if (heartbeat) {
            const rest = heardAt + heartbeat - clock.now();
            arm(rest, () => (clock.now() - heardAt < heartbeat ? beat() : ask()));
        }
    }

    /** Asks for a sign of life. */
    function ask() {
        // A second question would put off the time limit of the first.
        if (!probing) {
            probing = true;
            probe();
            allow(() => answerTime * patience + Math.floor(Math.max(largest, underWay()) / SLOWEST_LINK) * 1_000);
        }
    }

    function wake() {
        if (state === "open") {
            ask();
        } else if (state === "suspended") {
            arm(Math.min(timerEnd - clock.now(), random() * minDelay), attempt);
        }
    }

    return {
        state: () => state,
        /** Begins, if it has not; throws what is in the way. */
        start() {
            if (state !== "idle") {
                return;
            }
            if (signal?.aborted) {
                return abort();
            }
            Socket = options.WebSocket ?? globalThis.WebSocket;
            if (!Socket) {
                throw new RoomerError("no_websocket", "no WebSocket here: use Node 22 or newer, or pass a class as the option WebSocket");
            }
            try {
                typeof url === "function" || toAddress(url);
            } catch (cause) {
                throw new RoomerError("argument", `url must be an address such as "wss://example.org/ws", or a function that gives one; not ${url}`, { cause });
            }
            state = "connecting";
            signal?.addEventListener("abort", abort);
            unwatch = watchWorld(wake);
            attempt();
        },
        isReady: () => socket?.readyState === 1 && state === "open",
        send: (data) => socket.send(data),
        close: () => end(undefined, 1000)
    };
}
