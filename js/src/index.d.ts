/** The event map of `connect()` without a type argument: any event, with the codec's type of payload. */
export type AnyEvents<Payload> = Record<string, Payload>;

export type State = "idle" | "connecting" | "open" | "suspended" | "closed";
export type RoomState = "joining" | "open" | "leaving" | "closed";

/**
 * The outcome of `send()`: passed to the network, waiting for the connection or the room, or rejected because the queue is full.
 * If a message of the first two kinds does not arrive after all, the client emits `lost`. `room.sent` waits for the server.
 */
export type SendResult = "sent" | "queued" | "dropped";

export type CodecName = "bytes" | "text" | "json";

/** A conversion of payloads to bytes and back. An error that `decode` throws becomes an `error` event. */
export interface Codec {
    encode(payload: any): Uint8Array;
    decode(bytes: Uint8Array): any;
}

/** The kind of an error. The README has the cause and the remedy of each. */
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
    /** With `lost` and `ended`: the reason that the server sent with the close code. */
    readonly reason?: string;
}

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

export type MaybePromise<T> = T | Promise<T>;

export interface Options {
    /** Codec of all rooms that do not name their own. Default "bytes". */
    codec?: CodecName | Codec;
    /** Credentials for the server. A function is called for every attempt. */
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
     * reasons `rate` and `no sign of life`), 1010 and all from 3000 on.
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

/** A message for which `send()` has returned "sent" or "queued", and that may not arrive after all. */
export interface LostMessage {
    room: string;
    event: string;
    payload: unknown;
    to?: string | undefined;
    /** `unconfirmed`: it was sent and may or may not have arrived. `unsent`: its room or the client was closed before it was sent. */
    reason: "unconfirmed" | "unsent";
}

/** A message to this client alone, through a room that it has not joined. */
export interface DirectMessage {
    room: string;
    event: string;
    payload: unknown;
    from: string;
}

/** The function that removes a listener. */
export type Off = () => void;

/** Events of the client. */
export interface ClientEvents<E> {
    /** The state has changed; the error is the cause of `suspended` and `closed`, except after `close()`. */
    state: [state: State, error?: RoomerError];
    /** A message was rejected because the queue is full. */
    overflow: [dropped: { room: string; event: string; payload: unknown; to?: string | undefined }];
    /** The client is in its session again, with the same id and rooms; nothing was lost. With the milliseconds without a connection. */
    resumed: [milliseconds: number];
    /** A message that was sent may not have arrived, or a queued one was never sent. It is not sent again. */
    lost: [message: LostMessage];
    /** A message to this client alone, through a room that it has not joined. In a joined room it is an event of the room. */
    direct: [message: DirectMessage];
    /** An error that no call can throw. Without a listener it goes to the console. */
    error: [error: RoomerError];
    /** The server has put the client into a room that it did not join. Emitted before the room's `open`. */
    room: [room: Room<E>];
}

/** Events of a room that are not messages. A peer causes them only by joining and leaving. */
export interface RoomEvents {
    /** The client has entered the room for the first time. */
    open: [];
    /** The client is in the room again, with a new id instead of this one. Not emitted when a session continues. */
    reopen: [previousId: string];
    /** The room is closed for good; the error is the cause, except after `leave()`. */
    close: [error?: RoomerError];
    /** Another client has joined, or was found when the room reopened. */
    new_member: [id: string];
    /** Another client has left, or was missing when the room reopened. */
    member_left: [id: string];
}

/** Names that cannot be used for messages. */
export type ReservedEvent = keyof RoomEvents | "join" | "join_ack" | "leave" | "leave_ack" | `roomer:${string}`;

type Bytes = Uint8Array | ArrayBuffer | ArrayBufferView | string;

/** The arguments of `send()` after the event: a payload is optional where `undefined` is one. */
export type SendArguments<Payload> = [Payload] extends [Uint8Array]
    ? [payload?: Bytes, to?: string]
    : undefined extends Payload
      ? [payload?: Payload, to?: string]
      : [payload: Payload, to?: string];

/** A message of `messages()`. */
export interface Message<Payload, Event extends string = string> {
    event: Event;
    payload: Payload;
    /** Id of the sender; "" for the server. */
    from: string;
    /** True if the message is for this client alone. */
    direct: boolean;
    /** Number of messages that were dropped before this one because the reader was too slow. */
    missed: number;
}

export interface MessagesOptions {
    /** Ends the loop when it aborts. */
    signal?: AbortSignal;
    /** Maximum number of messages that wait for the reader; beyond it the oldest is dropped. Default 256. */
    buffer?: number;
}

/** A live view of the members of a room, without a copy. */
export interface MemberSet extends Iterable<string> {
    readonly size: number;
    has(id: string): boolean;
}

/** A room. Frozen. Its listeners survive reconnects. */
export interface Room<E = AnyEvents<unknown>> {
    readonly name: string;
    readonly state: RoomState;
    /** The id of this client in the room, "" before it opens. Each session has a new one, or each connection without sessions. */
    readonly id: string;
    /** Resolves when the room opens for the first time; rejects if it closes before. */
    readonly opened: Promise<Room<E>>;
    /**
     * Resolves once the server has handled all messages so far, which includes queued ones: with true, or with false if one of
     * them was lost (see the event `lost`). Never rejects.
     */
    readonly sent: Promise<boolean>;
    /** Ids of all members, including this client. Without a connection: the last known members. */
    members(): string[];
    /** The same as a live view. */
    readonly memberSet: MemberSet;
    /** Number of members. Where the server sends only the number: their number when the client joined. */
    readonly count: number;
    /**
     * Sends to all other members of the room, or to the one client `to`, which does not have to be a member.
     *
     * @throws {RoomerError} `closed` after leave() or close(), `argument` for a reserved event or a wrong payload
     */
    send<K extends keyof E & string>(event: K, ...rest: SendArguments<E[K]>): SendResult;
    send<K extends keyof E & string>(event: K, payload: E[K], to?: string): SendResult;
    /**
     * Undoes one `join()`. The last one leaves: the promise resolves when the server has confirmed it, or the session has ended.
     * If the room is joined again in the same turn, the client stays, and others see no change.
     */
    leave(): Promise<void>;
    on<K extends keyof RoomEvents>(event: K, listener: (...args: RoomEvents[K]) => unknown, options?: ListenOptions): Off;
    on<K extends keyof E & string>(
        event: K,
        listener: (payload: E[K], from: string, direct: boolean) => unknown,
        options?: ListenOptions
    ): Off;
    /** Removes all registrations of a listener for an event. */
    off(event: string, listener: (...args: any[]) => unknown): void;
    /** Returns the messages of an event from now on, for `for await`. Ends when the room closes; continues across reconnects. */
    messages<K extends keyof E & string>(event: K, options?: MessagesOptions): AsyncIterableIterator<Message<E[K], K>>;
}

/** A client and its connection. Frozen. */
export interface Client<E = AnyEvents<unknown>> {
    readonly state: State;
    /** The id of this client in its session, or on the connection if the server has no sessions; "" until the server has sent it. */
    readonly id: string;
    /** The room into which the server puts every client. */
    readonly root: Room<E>;
    /** Returns the room of that name, and joins it if necessary, connected or not. Each call requires its own `leave()`. */
    join<R = E>(name: string): Room<R>;
    join<R extends BytesMap<R> = AnyEvents<Uint8Array>>(name: string, options: { codec: "bytes" }): Room<R>;
    join<R extends TextMap<R> = AnyEvents<string>>(name: string, options: { codec: "text" }): Room<R>;
    join<R = AnyEvents<unknown>>(name: string, options: { codec: "json" | Codec }): Room<R>;
    /** Returns the rooms that the client is in, or is joining. */
    rooms(): Room<E>[];
    on<K extends keyof ClientEvents<E>>(event: K, listener: (...args: ClientEvents<E>[K]) => unknown, options?: ListenOptions): Off;
    off<K extends keyof ClientEvents<E>>(event: K, listener: (...args: ClientEvents<E>[K]) => unknown): void;
    /**
     * Connects, unless that has begun: for `lazy`, and where `connect()` could not, as on a server that renders pages.
     *
     * @throws {RoomerError} `argument` or `no_websocket` if the client cannot connect
     */
    start(): void;
    /** Closes the client and its rooms for good. */
    close(): void;
}

export type Address = string | URL | (() => MaybePromise<string | URL>);

/** An event map for the codec "bytes". */
export type BytesMap<E> = { [K in keyof E]: Uint8Array };
/** An event map for the codec "text". */
export type TextMap<E> = { [K in keyof E]: string };

/**
 * Connects to a roomer server, and stays connected. Where there is no WebSocket, or no page that a relative address could
 * belong to, the client does nothing until `start()` is called.
 *
 * @typeParam E the payload of each event, such as `{ chat: { text: string }; typing: undefined }`
 * @param url such as "wss://example.org/ws"; in a page also "/ws". A function is called for every attempt
 * @throws {RoomerError} `argument`
 */
export function connect<E extends BytesMap<E> = AnyEvents<Uint8Array>>(url: Address, options?: Options & { codec?: "bytes" }): Client<E>;
export function connect<E extends TextMap<E> = AnyEvents<string>>(url: Address, options: Options & { codec: "text" }): Client<E>;
export function connect<E = AnyEvents<unknown>>(url: Address, options: Options & { codec: "json" | Codec }): Client<E>;
