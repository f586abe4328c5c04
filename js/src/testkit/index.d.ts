import type { Clock, Options } from "../index.js";

/** A virtual clock, whose time passes only in `advance()` and `sleep()`. */
export interface ManualClock extends Clock {
    /** Advances the time by a number of milliseconds, and runs everything that is due by then. */
    advance(milliseconds?: number): Promise<void>;
    /** Returns the number of pending timers. */
    pending(): number;
    /**
     * Simulates a program that is suspended for a number of milliseconds: the time advances first, and then each due timer runs
     * once, late.
     */
    sleep(milliseconds: number): void;
}

export interface ClockSettings {
    /** Waits for promises that do not depend on this clock. Default: waits for one turn of the event loop. */
    settle?: () => Promise<void>;
}

export function createClock(settings?: ClockSettings): ManualClock;

/** A payload: bytes and strings are sent unchanged, other values as JSON. */
export type TestPayload = unknown;

/** The server's side of a client. */
export interface TestConnection {
    readonly id: string;
    /** The address that the client used, including its token. */
    readonly url: string;
    /** The token that the client sent, in the address or as a subprotocol. */
    readonly token: string | undefined;
    /** The client's info; null if it has none. */
    readonly info: unknown;
    /** The client's user, if it has one. */
    readonly user: string | undefined;
    /** False while the client has no connection but its session is kept. */
    readonly isConnected: boolean;
    rooms(): string[];
    /** Sends a message from the server to the client. */
    send(room: string, event: string, payload?: TestPayload): void;
    /** Sends a message to the other members of a room, with this client as the sender. */
    sendToRoom(room: string, event: string, payload?: TestPayload): void;
    /** Sets the client's info, a JSON value; null removes it. */
    setInfo(info: unknown): void;
    /**
     * Sends a request to the client through a room. Rejects with a RoomerError: `timeout` (after 10 s by default), or `answer`,
     * whose `kind` is the code sent by the client, `gone` or `plain`.
     */
    request(room: string, event: string, payload?: TestPayload, options?: { timeout?: number }): Promise<TestMessage>;
    /**
     * Requests a new token from the client. Closes the connection with 1008 `login expired` after this time in milliseconds,
     * unless the client sends a token that the rule `renew` accepts. Has no effect on a client with the plain protocol.
     */
    expiring(milliseconds: number): void;
    /** Sends arbitrary bytes to the client as one WebSocket message. */
    deliver(bytes: Uint8Array): void;
    /** Puts the client into a room. */
    join(room: string): void;
    /** Removes the client from a room. */
    kick(room: string): void;
    /** Removes the client from one room and puts it into another. */
    move(from: string, to: string): void;
    /**
     * Closes the connection with a close code. As on a real server, a client that does not receive a final close (1000, 1003, 1008,
     * 3000 to 4999) because it has lost its connection is closed with the same code and reason when it returns within `resumeWindow`.
     */
    close(code?: number, reason?: string): void;
    /**
     * Breaks the connection without a close code, as a broken network does. Data in flight is lost. The client's session is kept,
     * unless the server or the client uses the plain protocol.
     */
    cut(): void;
    /**
     * Blocks all data in both directions permanently, while both ends consider the connection open, as after switching networks.
     * The client detects the silence and resumes its session on a new connection.
     */
    hang(): void;
    /** Ends the session of a disconnected client, as after the `resumeWindow`. */
    expire(): void;
}

export interface TestMessage {
    room: string;
    event: string;
    payload: Uint8Array;
    text(): string;
    json(): any;
}

/**
 * The rules that a server applies to its clients. Rules are synchronous. If one throws, or returns a value of another type, the
 * client's connection is closed with 1011, or rejected by `connect`, and `advance()` throws the error.
 */
export interface Rules {
    /** Returns true to accept a client, or an object with the client's info and user. Default: all clients are accepted. */
    connect?: (url: string, token: string | undefined) => boolean | { info?: unknown; user?: string };
    /** Returns true if a client may join a room. Default: all clients may. */
    join?: (conn: TestConnection, room: string) => boolean;
    /** Returns true if a client may set its info. Default: no client may. */
    setInfo?: (conn: TestConnection, info: any) => boolean;
    /** Returns true if a token renews a client's login; see `expiring()`. Default: every token does. */
    renew?: (conn: TestConnection, token: string) => boolean;
}

/** A roomer server in memory. */
export interface TestServer {
    /** Options for `connect()`: the server's WebSocket class, its clock, and a constant instead of random numbers. */
    readonly options: Pick<Required<Options>, "WebSocket" | "clock" | "random">;
    readonly clock: ManualClock;
    /**
     * Advances the time by a number of milliseconds (0 by default), and runs everything that is due by then. Throws the first
     * error of a handler or rule; see `allowErrors()`.
     */
    advance(milliseconds?: number): Promise<void>;
    /** Returns all clients, including those without a connection whose sessions are kept. */
    connections(): TestConnection[];
    /** Returns the ids of a room's members, in the order in which they joined. */
    members(room: string): string[];
    /**
     * Handles an event instead of forwarding it to the room. If the handler throws, or its promise rejects, the sender's
     * connection is closed with 1011, and `advance()` throws the error.
     */
    handle(event: string, handler: (conn: TestConnection, message: TestMessage) => unknown): void;
    /**
     * Handles requests with this event that clients send to the server. If the handler throws a RoomerError, the client receives
     * its code and text; any other error results in the answer `failed`, and `advance()` throws the error.
     */
    onRequest(event: string, handler: (conn: TestConnection, message: TestMessage) => TestPayload | Promise<TestPayload>): void;
    /** Sends a message from the server to all members of a room. */
    broadcast(room: string, event: string, payload?: TestPayload): void;
    /** Replaces the given rules. */
    allow(rules: Rules): void;
    /**
     * For tests of failures: from now on, `advance()` no longer throws the errors of handlers and rules. The test finds them in
     * `errors()`.
     */
    allowErrors(): void;
    /** Returns all errors that handlers and rules have thrown so far, in order. */
    errors(): unknown[];
    /** Returns the clients' messages and requests that the server has rejected so far, in order, except joins. */
    rejected(): { room: string; event: string; kind: string; message: string }[];
    /** Drops the history of one room, or of all rooms. A dropped history is followed by one with a new epoch. */
    forget(room?: string): void;
    /** Breaks all connections. Clients with sessions can resume them. */
    cut(): void;
    /** Ends the sessions of all disconnected clients: clients disconnected by `cut()` rejoin with new ids. */
    expire(): void;
    /**
     * Closes all connections and rejects new ones. The default code is 1001, but clients with sessions receive 1012 with the
     * reason `retry=MS`, whose delays are spread over `retryWindow`.
     */
    stop(code?: number, reason?: string): void;
    /** Accepts connections again. */
    start(): void;
    /** Delays all data in both directions until `resume()`. Connections stay open. */
    stall(): void;
    /** Delivers the delayed data in order. */
    resume(): void;
    /**
     * Simulates a program that is suspended for a number of milliseconds, as on a closed laptop: timers run late, but before the
     * data that has arrived in the meantime is handled.
     */
    sleep(milliseconds: number): Promise<void>;
}

/** A rate limit: a number per second, and a burst, which is `perSecond` by default. */
export interface Rate {
    perSecond: number;
    burst?: number;
}

export interface ServerSettings {
    /** Latency in one direction, in milliseconds. Default 0. */
    latency?: number;
    /** The server's clock. Default: a new one. */
    clock?: ManualClock;
    /** Limit on packets per client. If a client exceeds it, its connection is closed with 1008 `rate`. Default: no limit. */
    messageRate?: Rate;
    /**
     * Limit on the bytes of a client's packets. If a client exceeds it, its connection is closed with 1008 `rate`. The burst must
     * not be below `maxMessage`. Default: no limit.
     */
    byteRate?: Rate;
    /** Limit on joins per client. If a client exceeds it, its connection is closed with 1008 `rate`. Default: no limit. */
    joinRate?: Rate;
    /**
     * Limit on violations per client: rejected packets that the client could have avoided. If a client exceeds it, its connection
     * is closed with 1008 `too many violations`. Default 1 per second, with a burst of 256.
     */
    violationRate?: Rate;
    /**
     * The maximum size of a client's message in bytes. If a message exceeds it, the connection is closed with 1009. Default 16
     * MiB.
     */
    maxMessage?: number;
    /** The maximum length of a room or event name in bytes. Packets with longer names are rejected. Default 4,096. */
    maxName?: number;
    /** The maximum number of rooms per client, including root. Further joins are rejected. Default 1,100. */
    maxRooms?: number;
    /**
     * The maximum number of unanswered requests per connection, for each kind: to the server, to other clients, and from the
     * server. Default 64.
     */
    maxRequests?: number;
    /** Returns how much a room's members learn about each other. Default "full" for all rooms. */
    presence?: (room: string) => "full" | "count" | "off";
    /** Returns true for rooms that announce which members have lost their connection and may return. Default: no room does. */
    announceAway?: (room: string) => boolean;
    /** The number of messages that a room keeps in its history. Default 0: no history. */
    history?: number | ((room: string) => number);
    /**
     * True for a server that supports only the plain protocol, such as the Go original: each connection is a new client.
     * Default false.
     */
    plain?: boolean;
    /** The time for which a session without a connection is kept, in milliseconds. Default 30,000; 0 disables sessions. */
    resumeWindow?: number;
    /**
     * The number of bytes of packets that are kept for a client without a connection. If there are more, the session ends.
     * Default 256 KiB.
     */
    resumeBuffer?: number;
    /** The period over which a stopping server spreads its clients' reconnects, in milliseconds. Default 10,000. */
    retryWindow?: number;
}

export function createServer(settings?: ServerSettings): TestServer;
