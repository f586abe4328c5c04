import type { Clock, Options } from "../index.js";

/** A clock whose time passes only when told. */
export interface ManualClock extends Clock {
    /** Lets time pass, in milliseconds, and everything happen that is due meanwhile. */
    advance(milliseconds?: number): Promise<void>;
    /** Timers that wait. */
    pending(): number;
    /** Stands still for so many milliseconds: what was due meanwhile runs once, and late. */
    sleep(milliseconds: number): void;
}

export interface ClockSettings {
    /** Waits for promises that are not the clock's own. Default: a turn of the real time. */
    settle?: () => Promise<void>;
}

export function createClock(settings?: ClockSettings): ManualClock;

/** Bytes and strings as they are, anything else as JSON. */
export type TestPayload = unknown;

/** A client, seen from the server. */
export interface TestConnection {
    readonly id: string;
    /** The address it came with, token and all. */
    readonly url: string;
    /** The token that it came with, in the address or as a subprotocol. */
    readonly token: string | undefined;
    rooms(): string[];
    /** Sends it a message as the server. */
    send(room: string, event: string, payload?: TestPayload): void;
    /** Sends to the others in a room, as this client. */
    sendToRoom(room: string, event: string, payload?: TestPayload): void;
    /** Sends it these bytes as one frame, whatever they are. */
    deliver(bytes: Uint8Array): void;
    /** Puts it into a room. */
    join(room: string): void;
    /** Puts it out of a room. */
    kick(room: string): void;
    /** Puts it out of one room and into another. */
    move(from: string, to: string): void;
    /** Ends the connection with a close code. */
    close(code?: number, reason?: string): void;
    /** Ends it without one, as a broken network does. */
    cut(): void;
}

export interface TestMessage {
    room: string;
    event: string;
    payload: Uint8Array;
    text(): string;
}

/** A roomer server in memory. */
export interface TestServer {
    /** Give these to `connect()`: the server's WebSocket class, its clock, and no chance. */
    readonly options: Pick<Required<Options>, "WebSocket" | "clock" | "random">;
    readonly clock: ManualClock;
    /** Lets time pass, in milliseconds (none by default), and everything happen that is due meanwhile. */
    advance(milliseconds?: number): Promise<void>;
    connections(): TestConnection[];
    /** Ids of those in a room, in the order in which they came. */
    members(room: string): string[];
    /**
     * Handles an event instead of passing it on to the room. What it throws closes the sender's connection with 1011, and is
     * thrown by `advance()`.
     */
    handle(event: string, handler: (conn: TestConnection, message: TestMessage) => void): void;
    /** Sends to all in a room as the server. */
    broadcast(room: string, event: string, payload?: TestPayload): void;
    /** Who may connect, and who may join which room. Default: all. */
    allow(rules: { connect?: (url: string, token: string | undefined) => boolean; join?: (conn: TestConnection, room: string) => boolean }): void;
    /** Breaks all connections. */
    cut(): void;
    /** Closes all connections, with 1001 by default, and refuses new ones. */
    stop(code?: number, reason?: string): void;
    /** Takes connections again. */
    start(): void;
    /** Lets nothing through any more, in either direction; no end is told. */
    stall(): void;
    /** Lets through what has waited, in order. */
    resume(): void;
    /**
     * The program stands still for so many milliseconds, as on a laptop that is shut: timers run late, and before anything
     * that came meanwhile.
     */
    sleep(milliseconds: number): Promise<void>;
}

/** So many per second, and so many at once; `burst` is `perSecond` by default. */
export interface Rate {
    perSecond: number;
    burst?: number;
}

export interface ServerSettings {
    /** Milliseconds, one way. Default 0. */
    latency?: number;
    /** Default: a clock of its own. */
    clock?: ManualClock;
    /** Packets of each client; above it, 1008 `rate`. Default: any number. */
    messageRate?: Rate;
    /** The same for joins. */
    joinRate?: Rate;
    /** Packets of each client that may be refused; above it, 1008 `too many violations`. Default 1 per second, 256 at once. */
    strikes?: Rate;
    /** What members of a room hear of each other. Default "full" for all. */
    membership?: (room: string) => "full" | "count" | "own";
}

export function createServer(settings?: ServerSettings): TestServer;
