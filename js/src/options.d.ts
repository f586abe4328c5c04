import type { Codec, CodecName, MaybePromise, RoomerError, State } from "./index.js";

export interface ReconnectOptions {
    /** Upper limit of the first delay, in milliseconds; it doubles with each further one. Default 500. */
    minDelay?: number;
    /** Upper limit of every delay, in milliseconds. Default 30,000. */
    maxDelay?: number;
    /** A connection that lasted this long, in milliseconds, resets the count of failures. Default 5,000. */
    minUptime?: number;
    /** Number of failures in a row after which the client closes. Default: no limit. */
    retries?: number;
}

export interface QueueOptions {
    /** Maximum number of messages that wait without a connection. Default 1,000. */
    messages?: number;
    /** Maximum of their bytes. Default 1 MiB. The same number may be sent and not yet confirmed by the server. */
    bytes?: number;
}

/** A clock, for tests: see `roomer/testkit`. */
export interface Clock {
    /** Milliseconds since any fixed moment; never decreases. */
    now(): number;
    setTimeout(action: () => void, delay: number): any;
    clearTimeout(timer: any): void;
}

export interface Options {
    /** Codec of all rooms that do not name their own. Default "bytes". */
    codec?: CodecName | Codec;
    /** Credentials for the server. A function is called for every attempt, and when the server asks for a new token before the login expires. */
    token?: string | null | (() => MaybePromise<string | null | undefined>);
    /** Place of the token: the address, as `?token=`, or the subprotocols, which proxies do not log. Default "address". */
    tokenIn?: "address" | "protocol";
    /** Closes the client when it aborts. */
    signal?: AbortSignal;
    /** Delays between attempts; false disables reconnecting. */
    reconnect?: boolean | ReconnectOptions;
    /**
     * Time limit of an attempt, and of the answer to a probe, in milliseconds. Default 10,000 and 20,000. An answer gets more
     * time while the network takes the client's bytes, and where large messages have been seen.
     */
    timeout?: number;
    /**
     * Silence of the server after which the client sends a probe, in milliseconds. Default 30,000; false disables probes. A server
     * with sessions sends something more often, so that no probe is needed.
     */
    heartbeat?: number | false;
    /**
     * Returns true if the client must not reconnect after this close. Default: 1000, 1002, 1003, 1007, 1008 (except with the
     * reasons `rate`, `no sign of life` and, if `token` is a function, `login expired`), 1010 and all from 3000 on.
     */
    isFinal?: (code: number, reason: string) => boolean;
    /** Limits of the queue for messages that wait for the connection or a room. */
    queue?: QueueOptions;
    /** True to do nothing before `start()` is called. Default false. */
    lazy?: boolean;
    /** Receives a record of each step; true passes them to `console.debug()`. Records never contain a token or a payload. */
    debug?: boolean | ((record: DebugRecord) => void);
    /** The WebSocket class, where there is no global one. */
    WebSocket?: new (url: string, protocols?: string[]) => any;
    /** Source of time and timers, for tests. */
    clock?: Clock;
    /** Returns a number from 0 up to 1; replaces `Math.random` in tests. */
    random?: () => number;
}

export interface ListenOptions {
    /** Remove the listener before its first call. */
    once?: boolean;
    /** Remove the listener when it aborts. */
    signal?: AbortSignal;
}

/** A record for the option `debug`. */
export interface DebugRecord {
    what: "connect" | "state" | "sent" | "received" | "dropped" | "lost";
    room?: string;
    event?: string;
    from?: string;
    to?: string | undefined;
    /** Size of the whole packet when sent, of the payload when received. */
    bytes?: number;
    /** The address without its query. */
    url?: string;
    state?: State;
    error?: RoomerError | undefined;
    reason?: string;
}
