/** What `connect()` gives when no event map is named: any event, with the codec's type of payload. */
export type AnyEvents<Payload> = Record<string, Payload>;

export type State = "idle" | "connecting" | "open" | "suspended" | "closed";
export type RoomState = "joining" | "open" | "leaving" | "closed";

/**
 * What became of a message: handed to the network, waiting for the connection or the room, or refused because the queue is
 * full. What is not true after all of the first two is told by the client's event `lost`.
 */
export type SendResult = "sent" | "queued" | "dropped";

export type CodecName = "bytes" | "text" | "json";

/** How payloads become bytes, and bytes payloads. What `decode` throws becomes an `error` event. */
export interface Codec {
    encode(payload: any): Uint8Array;
    decode(bytes: Uint8Array): any;
}

/** What happened. The README says what to do about each. */
export type ErrorCode =
    | "argument"
    | "no_websocket"
    | "address"
    | "timeout"
    | "lost"
    | "ended"
    | "gave_up"
    | "closed"
    | "refused"
    | "removed"
    | "packet"
    | "payload"
    | "listener";

export class RoomerError extends Error {
    constructor(code: ErrorCode, message: string, details?: { cause?: unknown; closeCode?: number; reason?: string });
    readonly code: ErrorCode;
    readonly cause?: unknown;
    /** With `lost` and `ended`: the WebSocket close code, 1006 if there was none. */
    readonly closeCode?: number;
    /** With `lost` and `ended`: the server's words. */
    readonly reason?: string;
}

export interface ReconnectOptions {
    /** The first wait is between 0 and this, in milliseconds; each further one may be twice as long. Default 500. */
    minDelay?: number;
    /** No wait is longer, in milliseconds. Default 30,000. */
    maxDelay?: number;
    /** A connection that lasted this long, in milliseconds, was a good one: counting starts anew. Default 5,000. */
    minUptime?: number;
    /** Give up after this many failures in a row. Default: never. */
    retries?: number;
}

export interface QueueOptions {
    /** Most messages that wait while there is no connection. Default 1,000. */
    messages?: number;
    /** Most bytes of them. Default 1 MiB. As many may be sent and not yet confirmed by the server. */
    bytes?: number;
}

/** A clock, for tests: see `roomer/testkit`. */
export interface Clock {
    /** Milliseconds since whenever; never goes back. */
    now(): number;
    setTimeout(action: () => void, delay: number): any;
    clearTimeout(timer: any): void;
}

export type MaybePromise<T> = T | Promise<T>;

export interface Options {
    /** How payloads are written. Default "bytes". */
    codec?: CodecName | Codec;
    /** Who we are. A function is asked at every attempt. */
    token?: string | null | (() => MaybePromise<string | null | undefined>);
    /** Where the token goes: into the address as `?token=`, or into the subprotocols, which proxies do not log. Default "address". */
    tokenIn?: "address" | "protocol";
    /** Closes everything when it aborts. */
    signal?: AbortSignal;
    /** How to come back; false: not at all. */
    reconnect?: boolean | ReconnectOptions;
    /**
     * How long the server may take to let us in, and to give a sign of life, in milliseconds. Default 10,000 and 20,000. Signs
     * of life get more time while the network takes our bytes, and where large messages have been seen.
     */
    timeout?: number;
    /** How long the server may be silent before it is asked for a sign of life, in milliseconds. Default 30,000; false: for ever. */
    heartbeat?: number | false;
    /**
     * Whether a close code says "do not come back". Default: 1000, 1002, 1003, 1007, 1008 (but for the reasons `rate` and
     * `no sign of life`), 1010 and all from 3000 on.
     */
    isFinal?: (code: number, reason: string) => boolean;
    /** What may wait while there is no connection. */
    queue?: QueueOptions;
    /** Do nothing before `start()` is called. Default false. */
    lazy?: boolean;
    /** Hears of all that happens; true: it goes to `console.debug()`. Never shows a token or a payload. */
    debug?: boolean | ((record: DebugRecord) => void);
    /** The WebSocket class, where there is no global one. */
    WebSocket?: new (url: string, protocols?: string[]) => any;
    /** The time, for tests. */
    clock?: Clock;
    /** A number from 0 up to 1, for tests. */
    random?: () => number;
}

export interface ListenOptions {
    /** Remove the listener before its first call. */
    once?: boolean;
    /** Remove the listener when it aborts. */
    signal?: AbortSignal;
}

/** What the option `debug` hears of. */
export interface DebugRecord {
    what: "connect" | "state" | "sent" | "received" | "dropped" | "lost";
    room?: string;
    event?: string;
    from?: string;
    to?: string | undefined;
    /** Of the whole packet when sent, of the payload when received. */
    bytes?: number;
    /** Without its query. */
    url?: string;
    state?: State;
    error?: RoomerError | undefined;
    reason?: string;
}

/** A message that `send()` has answered "sent" or "queued" for, and that did not make it after all. */
export interface LostMessage {
    room: string;
    event: string;
    payload: unknown;
    to?: string | undefined;
    /** `unconfirmed`: it was sent, and may have arrived or not. `unsent`: it was never sent, since its room or the client was closed. */
    reason: "unconfirmed" | "unsent";
}

/** A message to us alone, through a room that we have not joined. */
export interface DirectMessage {
    room: string;
    event: string;
    payload: unknown;
    from: string;
}

/** Removes the listener. */
export type Off = () => void;

/** Events of the client. */
export interface ClientEvents<E> {
    /** The state is another; the error says why it is `suspended` or `closed`, unless `close()` was called. */
    state: [state: State, error?: RoomerError];
    /** A message was dropped, because the queue is full. */
    overflow: [dropped: { room: string; event: string; payload: unknown; to?: string | undefined }];
    /** A message that was sent or queued may not have arrived, or was never sent. It is not sent again. */
    lost: [message: LostMessage];
    /** Somebody has sent us something through a room that we have not joined; rooms hear of the others. */
    direct: [message: DirectMessage];
    /** Something went wrong that no caller could be told. Without a listener it goes to the console. */
    error: [error: RoomerError];
    /** The server has put us into a room that we did not ask for. Comes before the room's `open`. */
    room: [room: Room<E>];
}

/** Events of a room that are no messages. No peer can cause them but by coming and going. */
export interface RoomEvents {
    /** We are in, for the first time. */
    open: [];
    /** We are in again: on a new connection, and with a new id instead of this one. */
    reopen: [previousId: string];
    /** We are out for good; the error says why, unless it was `leave()`. */
    close: [error?: RoomerError];
    /** Somebody else came, or was found on reopening. */
    new_member: [id: string];
    /** Somebody else went, or was gone on reopening. */
    member_left: [id: string];
}

/** Names that cannot be used for messages. */
export type ReservedEvent = keyof RoomEvents | "join" | "join_ack" | "leave" | "leave_ack";

type Bytes = Uint8Array | ArrayBuffer | ArrayBufferView | string;

/** What `send()` takes after the event: payloads may be left out where that is a payload too. */
export type SendArguments<Payload> = [Payload] extends [Uint8Array]
    ? [payload?: Bytes, to?: string]
    : undefined extends Payload
      ? [payload?: Payload, to?: string]
      : [payload: Payload, to?: string];

/** A message of `messages()`. */
export interface Message<Payload, Event extends string = string> {
    event: Event;
    payload: Payload;
    /** Id of the sender, "" if it is the server. */
    from: string;
    /** For us alone, not for the room. */
    direct: boolean;
    /** How many messages before this one were dropped, because the reader was too slow. */
    missed: number;
}

export interface MessagesOptions {
    /** Ends the loop when it aborts. */
    signal?: AbortSignal;
    /** Most messages that wait for the reader; then the oldest is dropped. Default 256. */
    buffer?: number;
}

/** Who is in a room, at any moment: looks at the room itself, costs no copy. */
export interface MemberSet extends Iterable<string> {
    readonly size: number;
    has(id: string): boolean;
}

/** A room. Frozen. It keeps its listeners whatever the connection does. */
export interface Room<E = AnyEvents<unknown>> {
    readonly name: string;
    readonly state: RoomState;
    /** Our own id in it, "" before it opens. A new connection has a new one. */
    readonly id: string;
    /** Resolves when the room opens for the first time; rejects if it closes before. */
    readonly opened: Promise<Room<E>>;
    /** Ids of all who are in it, ours included. Without a connection: who was there last. */
    members(): string[];
    /** The same, live and without a copy. */
    readonly memberSet: MemberSet;
    /** How many are in it. Where the server tells the number alone: how many there were when we came. */
    readonly count: number;
    /**
     * Sends to all others in the room, or to the one client `to`, who need not be in it.
     *
     * @throws {RoomerError} `closed` after leave() or close(), `argument` for a reserved event or a wrong payload
     */
    send<K extends keyof E & string>(event: K, ...rest: SendArguments<E[K]>): SendResult;
    send<K extends keyof E & string>(event: K, payload: E[K], to?: string): SendResult;
    /**
     * Takes back one `join()`. The last one leaves: resolves when the server has confirmed it, or the connection is gone. If
     * the room is joined again in the same turn, nothing goes out and others see nothing.
     */
    leave(): Promise<void>;
    on<K extends keyof RoomEvents>(event: K, listener: (...args: RoomEvents[K]) => unknown, options?: ListenOptions): Off;
    on<K extends keyof E & string>(
        event: K,
        listener: (payload: E[K], from: string, direct: boolean) => unknown,
        options?: ListenOptions
    ): Off;
    /** Removes a listener by itself. */
    off(event: string, listener: (...args: any[]) => unknown): void;
    /** The messages of an event from now on, for `for await`. Ends when the room closes; goes on across reconnects. */
    messages<K extends keyof E & string>(event: K, options?: MessagesOptions): AsyncIterableIterator<Message<E[K], K>>;
}

/** A client and its connection. Frozen. */
export interface Client<E = AnyEvents<unknown>> {
    readonly state: State;
    /** Our id on this connection, "" until the server has told. */
    readonly id: string;
    /** The room in which the server puts every client. */
    readonly root: Room<E>;
    /** The room of that name, joined now if it is not yet. At any time, connected or not. Each call asks for a `leave()` of its own. */
    join<R = E>(name: string): Room<R>;
    join<R extends BytesMap<R> = AnyEvents<Uint8Array>>(name: string, options: { codec: "bytes" }): Room<R>;
    join<R extends TextMap<R> = AnyEvents<string>>(name: string, options: { codec: "text" }): Room<R>;
    join<R = AnyEvents<unknown>>(name: string, options: { codec: "json" | Codec }): Room<R>;
    /** The rooms that we are in, or will be. */
    rooms(): Room<E>[];
    on<K extends keyof ClientEvents<E>>(event: K, listener: (...args: ClientEvents<E>[K]) => unknown, options?: ListenOptions): Off;
    off<K extends keyof ClientEvents<E>>(event: K, listener: (...args: ClientEvents<E>[K]) => unknown): void;
    /**
     * Connects, if that has not begun: with `lazy`, or where `connect()` could not, as on a server that renders pages.
     *
     * @throws {RoomerError} `argument` or `no_websocket`: what is in the way
     */
    start(): void;
    /** Closes everything, for good. */
    close(): void;
}

export type Address = string | URL | (() => MaybePromise<string | URL>);

/** An event map for the codec "bytes". */
export type BytesMap<E> = { [K in keyof E]: Uint8Array };
/** An event map for the codec "text". */
export type TextMap<E> = { [K in keyof E]: string };

/**
 * Connects to a roomer server, and stays connected. Where there is no WebSocket, or no page that a relative address could
 * belong to, it does nothing until `start()` is called.
 *
 * @typeParam E the payload of each event, such as `{ chat: { text: string }; typing: undefined }`
 * @param url such as "wss://example.org/ws"; in a page also "/ws". A function is asked at every attempt
 * @throws {RoomerError} `argument`
 */
export function connect<E extends BytesMap<E> = AnyEvents<Uint8Array>>(url: Address, options?: Options & { codec?: "bytes" }): Client<E>;
export function connect<E extends TextMap<E> = AnyEvents<string>>(url: Address, options: Options & { codec: "text" }): Client<E>;
export function connect<E = AnyEvents<unknown>>(url: Address, options: Options & { codec: "json" | Codec }): Client<E>;
