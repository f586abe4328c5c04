import type { Clock, Options } from "../index.js";

/** A clock whose time passes only in `advance()` and `sleep()`. */
export interface ManualClock extends Clock {
    /** Lets time pass, in milliseconds, and runs everything that is due meanwhile. */
    advance(milliseconds?: number): Promise<void>;
    /** Returns the number of pending timers. */
    pending(): number;
    /** Simulates a suspended program: time passes, in milliseconds, then everything that was due meanwhile runs once, late. */
    sleep(milliseconds: number): void;
}

export interface ClockSettings {
    /** Waits for promises that do not belong to the clock. Default: a turn of the event loop. */
    settle?: () => Promise<void>;
}

export function createClock(settings?: ClockSettings): ManualClock;

/** A payload: bytes and strings are sent as they are, anything else as JSON. */
export type TestPayload = unknown;

/** The server's end of a connection. */
export interface TestConnection {
    readonly id: string;
    /** The address that the client has used, including its token. */
    readonly url: string;
    /** The token that the client has sent, in the address or as a subprotocol. */
    readonly token: string | undefined;
    /** The info of the client; null without one. */
    readonly info: unknown;
    /** The user of the client. */
    readonly user: string | undefined;
    /** False while the client has no connection, but its session is kept. */
    readonly isConnected: boolean;
    rooms(): string[];
    /** Sends a message of the server to the client. */
    send(room: string, event: string, payload?: TestPayload): void;
    /** Sends to the other members of a room, as this client. */
    sendToRoom(room: string, event: string, payload?: TestPayload): void;
    /** Sets the info of the client, a JSON value; null for none. */
    setInfo(info: unknown): void;
    /**
     * Asks the client, through a room. Rejects with a RoomerError: `timeout` (10 s by default), or `answer` with the `kind` that the
     * client has given, `gone` or `plain`.
     */
    request(room: string, event: string, payload?: TestPayload, options?: { timeout?: number }): Promise<TestMessage>;
    /**
     * Asks the client for a new token, and closes the connection with 1008 `login expired` after this time in milliseconds, unless the
     * client has sent one to which the rule `renew` agrees. Has no effect on a plain client.
     */
    expiring(milliseconds: number): void;
    /** Sends any bytes to the client as one frame. */
    deliver(bytes: Uint8Array): void;
    /** Puts the client into a room. */
    join(room: string): void;
    /** Removes the client from a room. */
    kick(room: string): void;
    /** Removes the client from one room and puts it into another. */
    move(from: string, to: string): void;
    /** Closes the connection with a close code. */
    close(code?: number, reason?: string): void;
    /**
     * Breaks the connection without a close code, like a broken network, which loses data in flight. The client's session is
     * kept, unless the server or the client is plain.
     */
    cut(): void;
    /**
     * Lets nothing pass in either direction, forever, while the connection looks open to both ends, as after a change of network.
     * The client notices the silence and returns to its session.
     */
    hang(): void;
    /** Ends the session of a client without a connection, as after `resumeWindow`. */
    expire(): void;
}

export interface TestMessage {
    room: string;
    event: string;
    payload: Uint8Array;
    text(): string;
    json(): any;
}

/** The rules of a server. */
export interface Rules {
    /** Returns true, or the info and the user of the client, to let it in. Default: all are let in. */
    connect?: (url: string, token: string | undefined) => boolean | { info?: unknown; user?: string };
    /** Returns true if a client may join a room. Default: all may. */
    join?: (conn: TestConnection, room: string) => boolean;
    /** Returns true if a client may set its info. Default: it may not. */
    setInfo?: (conn: TestConnection, info: any) => boolean;
    /** Returns true if a token renews the login of a client; see `expiring()`. Default: it does. */
    renew?: (conn: TestConnection, token: string) => boolean;
}

/** A roomer server in memory. */
export interface TestServer {
    /** Options for `connect()`: the server's WebSocket class, its clock, and a constant in place of random numbers. */
    readonly options: Pick<Required<Options>, "WebSocket" | "clock" | "random">;
    readonly clock: ManualClock;
    /** Lets time pass, in milliseconds (0 by default), and runs everything that is due meanwhile. */
    advance(milliseconds?: number): Promise<void>;
    /** Returns all clients, including those without a connection whose sessions are kept. */
    connections(): TestConnection[];
    /** Returns the ids of the members of a room, in the order in which they joined. */
    members(room: string): string[];
    /**
     * Handles an event instead of forwarding it to the room. An error of the handler closes the sender's connection with 1011,
     * and `advance()` throws it.
     */
    handle(event: string, handler: (conn: TestConnection, message: TestMessage) => void): void;
    /**
     * Answers the requests of an event that clients send to the server. A RoomerError that the handler throws is sent to the client with
     * its code and text; other errors make the answer `failed`.
     */
    onRequest(event: string, handler: (conn: TestConnection, message: TestMessage) => TestPayload | Promise<TestPayload>): void;
    /** Sends a message of the server to all members of a room. */
    broadcast(room: string, event: string, payload?: TestPayload): void;
    /** Replaces those rules that are given. */
    allow(rules: Rules): void;
    /** Forgets the messages of a room that remembers, or of all: it begins a new epoch. */
    forget(room?: string): void;
    /** Breaks all connections. Clients with sessions return to them. */
    cut(): void;
    /** Ends the sessions of all clients without a connection: after `cut()`, they rejoin with new ids. */
    expire(): void;
    /**
     * Closes all connections and rejects new ones. The default code is 1001, and for clients with sessions 1012 with the reason
     * `retry=MS`, spread over `retryWindow`.
     */
    stop(code?: number, reason?: string): void;
    /** Accepts connections again. */
    start(): void;
    /** Delays everything in both directions until `resume()`; no connection is closed. */
    stall(): void;
    /** Delivers everything that was delayed, in order. */
    resume(): void;
    /**
     * Simulates a program that is suspended for a number of milliseconds, as on a closed laptop: timers run late, and before
     * anything that arrived meanwhile.
     */
    sleep(milliseconds: number): Promise<void>;
}

/** A limit per second, with a burst; `burst` is `perSecond` by default. */
export interface Rate {
    perSecond: number;
    burst?: number;
}

export interface ServerSettings {
    /** Latency in one direction, in milliseconds. Default 0. */
    latency?: number;
    /** Clock of the server. Default: a new one. */
    clock?: ManualClock;
    /** Limit of packets per client; beyond it the connection is closed with 1008 `rate`. Default: no limit. */
    messageRate?: Rate;
    /** Limit of joins per client, likewise. */
    joinRate?: Rate;
    /** Limit of rejected packets per client; beyond it: 1008 `too many violations`. Default 1 per second, 256 at once. */
    strikes?: Rate;
    /** Returns how much the members of a room receive about each other. Default "full" for all. */
    membership?: (room: string) => "full" | "count" | "own";
    /** Number of messages that rooms remember. Default 0: they do not. */
    history?: number | ((room: string) => number);
    /** True for a server that speaks the plain protocol only, such as the original: each connection is new. Default false. */
    plain?: boolean;
    /** Time for which a session without a connection is kept, in milliseconds. Default 30,000; 0: none is kept. */
    resumeWindow?: number;
    /** Bytes of packets that a session keeps for a client without a connection; beyond it the session ends. Default 256 KiB. */
    resumeBuffer?: number;
    /** Time over which a server that stops spreads the return of its clients, in milliseconds. Default 10,000. */
    retryWindow?: number;
}

export function createServer(settings?: ServerSettings): TestServer;
