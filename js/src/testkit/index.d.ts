import type { Clock, Options } from "../index.js";

/** A virtual clock, whose time passes only in `advance()` and `sleep()`. */
export interface ManualClock extends Clock {
    /** Advances the time, in milliseconds, and runs everything that is due in between. */
    advance(milliseconds?: number): Promise<void>;
    /** Returns the number of pending timers. */
    pending(): number;
    /** Simulates a suspended program: the time advances first, in milliseconds, and then each due timer runs once, late. */
    sleep(milliseconds: number): void;
}

export interface ClockSettings {
    /** Waits for promises outside this clock. Default: a turn of the event loop. */
    settle?: () => Promise<void>;
}

export function createClock(settings?: ClockSettings): ManualClock;

/** A payload: bytes and strings are sent unchanged, other values as JSON. */
export type TestPayload = unknown;

/** The server's end of a connection. */
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
    /** False while the client has no connection, but its session is kept. */
    readonly isConnected: boolean;
    rooms(): string[];
    /** Sends a message from the server to the client. */
    send(room: string, event: string, payload?: TestPayload): void;
    /** Sends a message to the other members of a room, with this client as the sender. */
    sendToRoom(room: string, event: string, payload?: TestPayload): void;
    /** Sets the client's info, a JSON value; null removes it. */
    setInfo(info: unknown): void;
    /**
     * Sends a request to the client through a room. Rejects with a RoomerError: `timeout` (10 s by default), or `answer` with the
     * `kind` sent by the client, `gone` or `plain`.
     */
    request(room: string, event: string, payload?: TestPayload, options?: { timeout?: number }): Promise<TestMessage>;
    /**
     * Requests a new token from the client. Closes the connection with 1008 `login expired` after this time in milliseconds,
     * unless the client has sent a token that the rule `renew` accepts. Has no effect on a plain client.
     */
    expiring(milliseconds: number): void;
    /** Sends arbitrary bytes to the client as one frame. */
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
     * kept, unless the server or the client uses the plain protocol.
     */
    cut(): void;
    /**
     * Blocks all data in both directions permanently, while the connection looks open to both ends, as after switching networks.
     * The client detects the silence and resumes its session on a new connection.
     */
    hang(): void;
    /** Ends the session of a disconnected client, as after `resumeWindow`. */
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
 * The rules that a server applies to its clients. They are synchronous. If one throws, or returns any other value, the client's
 * connection is closed with 1011, or rejected by `connect`, and `advance()` throws the error.
 */
export interface Rules {
    /** Returns true, or the client's info and user, to accept it. Default: all clients are accepted. */
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
     * Advances the time, in milliseconds (0 by default), and runs everything that is due in between. Throws the first handler
     * or rule error; see `allowErrors()`.
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
     * Handles requests with this event that clients send to the server. A RoomerError thrown by the handler is sent to the client
     * with its code and text; any other error results in the answer `failed`, and `advance()` throws it.
     */
    onRequest(event: string, handler: (conn: TestConnection, message: TestMessage) => TestPayload | Promise<TestPayload>): void;
    /** Sends a message from the server to all members of a room. */
    broadcast(room: string, event: string, payload?: TestPayload): void;
    /** Replaces the given rules. */
    allow(rules: Rules): void;
    /**
     * For tests of failures: from now on, `advance()` no longer throws handler and rule errors; the test finds them in
     * `errors()`.
     */
    allowErrors(): void;
    /** Returns all errors that handlers and rules have thrown so far, in order. */
    errors(): unknown[];
    /** Returns the clients' messages and requests that the server has rejected so far, in order, except joins. */
    rejected(): { room: string; event: string; kind: string; message: string }[];
    /** Drops one room's history, or that of all rooms. The next history has a new epoch. */
    forget(room?: string): void;
    /** Breaks all connections. Clients with sessions can resume them. */
    cut(): void;
    /** Ends the sessions of all disconnected clients. After `cut()` they therefore rejoin with new ids. */
    expire(): void;
    /**
     * Closes all connections and rejects new ones. The default code is 1001; clients with sessions get 1012 with the reason
     * `retry=MS`, spread over `retryWindow`.
     */
    stop(code?: number, reason?: string): void;
    /** Accepts connections again. */
    start(): void;
    /** Delays all data in both directions until `resume()`. No connection is closed. */
    stall(): void;
    /** Delivers the delayed data in order. */
    resume(): void;
    /**
     * Simulates a program that is suspended for a number of milliseconds, as on a closed laptop: timers run late, but before any
     * data that has arrived in the meantime is handled.
     */
    sleep(milliseconds: number): Promise<void>;
}

/** A limit per second, with a burst, which is `perSecond` by default. */
export interface Rate {
    perSecond: number;
    burst?: number;
}

export interface ServerSettings {
    /** Latency in one direction, in milliseconds. Default 0. */
    latency?: number;
    /** The server's clock. Default: a new one. */
    clock?: ManualClock;
    /** Limit on packets per client; above it the connection is closed with 1008 `rate`. Default: no limit. */
    messageRate?: Rate;
    /** Limit on joins per client, with the same consequence. Default: no limit. */
    joinRate?: Rate;
    /** Limit on violations per client, rejected packets that it could have avoided; above it: 1008 `too many violations`. Default 1 per second, with a burst of 256. */
    strikes?: Rate;
    /** The maximum size of a client's message in bytes; above it the connection is closed with 1009. Default 16 MiB. */
    maxMessage?: number;
    /** The maximum length of a room or event name in bytes; longer ones are rejected. Default 4,096. */
    maxName?: number;
    /** The maximum number of rooms per client, including root; further joins are rejected. Default 1,100. */
    maxRooms?: number;
    /** Returns how much a room's members learn about each other. Default "full" for all rooms. */
    membership?: (room: string) => "full" | "count" | "own";
    /** Returns true for rooms that announce which members have lost their connection and may return. Default: none does. */
    announceAway?: (room: string) => boolean;
    /** How many messages a room keeps in its history. Default 0: no history. */
    history?: number | ((room: string) => number);
    /** True for a server with the plain protocol only, such as the original, on which each connection is new. Default false. */
    plain?: boolean;
    /** How long a session without a connection is kept, in milliseconds. Default 30,000; 0 disables sessions. */
    resumeWindow?: number;
    /**
     * How many bytes of packets a session keeps for a client without a connection; above it the session ends. Default 256 KiB.
     */
    resumeBuffer?: number;
    /** Period over which a stopping server spreads its clients' reconnects, in milliseconds. Default 10,000. */
    retryWindow?: number;
}

export function createServer(settings?: ServerSettings): TestServer;
