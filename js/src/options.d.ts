import type { Codec, CodecName, MaybePromise, RoomerError, State } from "./index.js";

/** An `AbortSignal`, described by the properties that the client uses, since not all programs have the types of browsers or Node. */
export interface AbortSignalLike {
    readonly aborted: boolean;
    readonly reason?: any;
    addEventListener(type: "abort", listener: () => void): void;
    removeEventListener(type: "abort", listener: () => void): void;
}

export interface ReconnectOptions {
    /**
     * The first delay is chosen at random between 0 and this many milliseconds. The range doubles with each further attempt, up
     * to `maxDelay`. Default 500.
     */
    minDelay?: number;
    /** The limit that doubling cannot exceed, in milliseconds. Default 30,000. */
    maxDelay?: number;
    /** The time for which a connection must last, in milliseconds, for the failure count to be reset. Default 5,000. */
    minUptime?: number;
    /** Number of consecutive failures before the client closes. Default: no limit. */
    retries?: number;
}

export interface QueueOptions {
    /**
     * The number of messages that may be queued without a connection. Default 1,000. Requests above the server's limit of
     * unanswered requests are limited by the same numbers, but separately.
     */
    messages?: number;
    /**
     * The number of bytes that the queued messages may have in total; a single message may have more. Default 1 MiB. The same
     * limit applies to bytes that are sent but not yet confirmed.
     */
    bytes?: number;
}

/** A source of time and timers for tests: see `roomer/testkit`. */
export interface Clock {
    /** Returns the milliseconds since a fixed point in time; never decreases. */
    now(): number;
    setTimeout(action: () => void, delay: number): any;
    clearTimeout(timer: any): void;
}

export interface Options {
    /** Default codec for all rooms. Default "bytes". */
    codec?: CodecName | Codec;
    /**
     * Credentials for the server. A function is called for every attempt, and whenever the server requests a new token before the
     * login expires.
     */
    token?: string | null | (() => MaybePromise<string | null | undefined>);
    /**
     * The place where the token is sent: in the address as `?token=`, or in the subprotocols, which proxies do not log. Default "address".
     */
    tokenIn?: "address" | "protocol";
    /** Closes the client when the signal aborts. */
    signal?: AbortSignalLike;
    /** Delays between attempts; false disables reconnecting. */
    reconnect?: boolean | ReconnectOptions;
    /**
     * The maximum duration of a connection attempt (default 10,000 ms), and of the wait for the answer to a probe (default
     * 20,000 ms). If set, it applies to both. The answer to a probe gets more time while the network accepts the client's
     * bytes, after large messages have been received, and, without a session, for each unconfirmed message.
     */
    timeout?: number;
    /**
     * The time for which the server may be silent before the client sends a probe, in milliseconds. Default 30,000; false
     * disables probes. A server with sessions sends packets more often than that, so no probe is needed.
     */
    heartbeat?: number | false;
    /**
     * Returns true if the client must not reconnect after a close with this code. Default: 1000, 1002, 1003, 1007, 1008 (except
     * with the reasons `rate`, `no sign of life` and, if `token` is a function, `login expired`), 1010 and all from 3000.
     */
    isFinal?: (code: number, reason: string) => boolean;
    /** Limits on the queue of messages waiting for the connection or a room. */
    queue?: QueueOptions;
    /** If true, the client stays idle until `start()` is called. Default false. */
    lazy?: boolean;
    /** Receives a record of each step; true passes records to `console.debug()`. Records never contain a token or a payload. */
    debug?: boolean | ((record: DebugRecord) => void);
    /** The WebSocket class, if there is no global one. */
    WebSocket?: new (url: string, protocols?: string[]) => any;
    /** Source of time and timers, for tests. */
    clock?: Clock;
    /** Returns a number from 0 up to 1; replaces `Math.random` in tests. */
    random?: () => number;
}

export interface ListenOptions {
    /** Removes the listener before its first call. */
    once?: boolean;
    /** Removes the listener when the signal aborts. */
    signal?: AbortSignalLike;
}

/** A record for the `debug` option. */
export interface DebugRecord {
    what: "connect" | "state" | "sent" | "received" | "dropped" | "lost";
    room?: string;
    event?: string;
    from?: string;
    to?: string | undefined;
    /** Size in bytes: of the whole packet when sent, of the payload when received. */
    bytes?: number;
    /** The address without its query. */
    url?: string;
    state?: State;
    error?: RoomerError | undefined;
    reason?: string;
}
