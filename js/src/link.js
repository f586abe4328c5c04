/**
 * The life of the connection: attempts, waits, signs of life, the end. Knows nothing of rooms.
 *
 *     connecting ──▶ open ──▶ suspended ──▶ connecting …        any ──▶ closed
 *
 * Each state waits for one thing at a time, so there is one timer: in `connecting` for the attempt's time limit, in `open`
 * for the next sign of life, in `suspended` for the next attempt.
 *
 * @module link
 */

import { RoomerError } from "./error.js";

/** Close codes after which the same client would only fail again, or is not wanted. The README has the reasons. */
const FINAL = [1000, 1002, 1003, 1007, 1008, 1010];

/** Above it, setTimeout() does not wait at all. */
const LONGEST_DELAY = 2 ** 31 - 1;

const isFinalCode = (code) => code > 2999 || FINAL.includes(code);

/** The address of one attempt: relative ones are the page's, http is ws, and the token goes into the query. */
function toAddress(url, token) {
    // undefined would become the page "undefined".
    const address = new URL(url ?? "", url && globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    if (!/^wss?:/.test(address.protocol)) {
        throw new TypeError(`no WebSocket at ${address}`);
    }
    if (token != null) {
        address.searchParams.set("token", token);
    }
    return address.href;
}

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
 * @param {object} hooks
 * @param {Uint8Array} hooks.probe a message that the server surely answers
 * @param {() => void} hooks.opened the socket is open: send what must be first
 * @param {(buffer: ArrayBuffer) => void} hooks.received must not throw
 * @param {(state: string, error?: RoomerError) => void} hooks.changed
 */
export function createLink(url, options, { probe, opened, received, changed }) {
    const { token, signal, timeout = 10_000, heartbeat = 30_000, isFinal = isFinalCode, random = Math.random } = options;
    const { minDelay = 500, maxDelay = 30_000, minUptime = 5_000, retries = Infinity } =
        options.reconnect === false ? { retries: 0 } : options.reconnect ?? {};
    const clock = options.clock ?? {
        now: () => performance.now(),
        setTimeout: (action, delay) => setTimeout(action, delay),
        clearTimeout: (timer) => clearTimeout(timer)
    };
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    if (!Socket) {
        throw new RoomerError("no_websocket", "no WebSocket here: use Node 22 or newer, or pass a class as the option WebSocket");
    }
    if (typeof url !== "function") {
        try {
            toAddress(url);
        } catch (cause) {
            throw new RoomerError("argument", `url must be an address such as "wss://example.org/ws", or a function that gives one; not ${url}`, { cause });
        }
    }

    let state = "connecting";
    let socket;
    /** The attempt under way or in use; what belongs to an older one is ignored. */
    let current;
    let timer;
    let timerEnd = 0;
    let failures = 0;
    let openedAt;
    let heardAt = 0;
    let probing = false;

    /** Sets the one timer. */
    function arm(delay, action) {
        clock.clearTimeout(timer);
        timerEnd = clock.now() + delay;
        timer = clock.setTimeout(action, Math.min(delay, LONGEST_DELAY));
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

    function end(error, code) {
        if (state !== "closed") {
            release(code);
            unwatch();
            signal?.removeEventListener("abort", abort);
            state = "closed";
            changed(state, error);
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
        if (failures >= retries) {
            return end(new RoomerError("gave_up", `no connection after ${retries} retries; connect() starts anew`, { cause: error }));
        }
        // Full jitter after the cap: a crowd that lost its server does not come back as one.
        arm(random() * Math.min(maxDelay, minDelay * 2 ** failures++), attempt);
        state = "suspended";
        changed(state, error);
    }

    const silent = () => lost(new RoomerError("timeout", "the server does not answer"));

    async function attempt() {
        const mine = (current = {});
        arm(timeout, silent);
        if (state !== "connecting") {
            state = "connecting";
            changed(state);
        }
        try {
            const [address, pass] = await Promise.all([call(url), call(token)]);
            if (mine === current) {
                use(new Socket(toAddress(address, pass)));
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
            // Whatever came is as good as the answer.
            probing && beat();
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
            send(probe);
            arm(timeout, silent);
        }
    }

    /** Tells whether the socket has taken it. */
    function send(data) {
        const ready = socket?.readyState === 1;
        if (ready) {
            socket.send(data);
        }
        return ready;
    }

    const unwatch = watchWorld(() => {
        if (state === "open") {
            ask();
        } else if (state === "suspended") {
            arm(Math.min(timerEnd - clock.now(), random() * minDelay), attempt);
        }
    });

    return {
        state: () => state,
        start() {
            if (signal?.aborted) {
                abort();
            } else {
                signal?.addEventListener("abort", abort);
                attempt();
            }
        },
        send,
        /** Bytes that the socket has taken and the network has not. */
        backlog: () => socket?.bufferedAmount ?? 0,
        close: () => end(undefined, 1000)
    };
}
