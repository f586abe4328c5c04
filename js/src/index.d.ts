import type {
    Answer, AnyEvents, BytesMap, DecodedEvents, EncodedBy, EventMap, MessageListener, MessageName, Payloads, Question, RequestArguments, RequestName, Result, SendArguments, TextMap, payloads
} from "./maps.js";
import type { AbortSignalLike, ListenOptions, Options } from "./options.js";

// Export all of them, since an application's declarations may name any.
export type * from "./maps.js";
export type { AbortSignalLike, Clock, DebugRecord, ListenOptions, Options, QueueOptions, ReconnectOptions } from "./options.js";

export type State = "idle" | "connecting" | "open" | "suspended" | "closed";
export type RoomState = "joining" | "open" | "leaving" | "closed";

/**
 * The outcome of `send()`: passed to the network, queued for the connection or the room, or rejected because the queue is full.
 * If a message with one of the first two outcomes does not arrive, the client emits `lost`. `room.sent` waits for the server's
 * confirmation.
 */
export type SendResult = "sent" | "queued" | "dropped";

export type CodecName = "bytes" | "text" | "json";

/**
 * A codec, which converts payloads to bytes and back. An error thrown by `decode` becomes an `error` event; one thrown by
 * `encode` is thrown by `send()`.
 */
export interface Codec<Payload = any, Decoded = any> {
    encode: (payload: Payload) => Uint8Array;
    decode: (bytes: Uint8Array) => Decoded;
}

/** The kind of an error. The README lists each one's cause and remedy. */
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
    | "listener"
    | "answer"
    | "aborted"
    | "unknown"
    | "plain"
    | "dropped"
    | "rejected"
    | "token";

/** An error reported by this client, or thrown by a request handler, which may use its own codes. */
export class RoomerError extends Error {
    constructor(
        code: ErrorCode | (string & {}),
        message: string,
        details?: { cause?: unknown; closeCode?: number; reason?: string; kind?: string; room?: string; event?: string; remedy?: string }
    );
    readonly code: ErrorCode | (string & {});
    readonly cause?: unknown;
    /**
     * With `answer` and `rejected`: the code sent by the server or the peer, such as `refused`, `gone` or an application code.
     * The README lists the server's codes.
     */
    readonly kind?: string;
    /** With `rejected`: the rejected packet's room. */
    readonly room?: string;
    /** With `rejected`: the rejected packet's event. */
    readonly event?: string;
    /**
     * With `rejected`: the number of other packets that the server has rejected since its last error. The server limits the rate of
     * errors, and sends none for these packets.
     */
    more?: number;
    /** With `rejected`: advice for developers, if this kind has any. */
    readonly remedy?: string;
    /** With `lost` and `ended`: the WebSocket close code, 1006 if there was none. */
    readonly closeCode?: number;
    /** With `lost` and `ended`: the reason that the server sent with the close code. */
    readonly reason?: string;
}

export type MaybePromise<T> = T | Promise<T>;

/** A message for which `send()` returned "sent" or "queued", but which may not arrive. */
export interface LostMessage {
    room: string;
    event: string;
    payload: unknown;
    to?: string | undefined;
    /**
     * `unconfirmed`: sent, but it is unknown whether it arrived. `unsent`: the room or the client was closed before the message
     * was sent. `too_large`: the message was queued before the server had announced its size limit, which the message exceeds.
     */
    reason: "unconfirmed" | "unsent" | "too_large";
}

/** A message to this client alone, through a room that the client has not joined. */
export interface DirectMessage {
    room: string;
    event: string;
    payload: unknown;
    from: string;
}

/** A function that removes a listener. */
export type Off = () => void;

/** A client's events, with their arguments. */
export interface ClientEvents<E> {
    /** The state has changed. The error is the cause of `suspended` or `closed`; it is undefined after `close()`. */
    state: [state: State, error?: RoomerError];
    /**
     * A message was rejected because the queue is full. The reason is the limit that it would exceed: the option
     * `queue.messages` or `queue.bytes`. Send less, or raise this limit.
     */
    overflow: [dropped: { room: string; event: string; payload: unknown; to?: string | undefined; reason: "messages" | "bytes" }];
    /**
     * The session has resumed with the same id and rooms, and no message was lost. The argument is the time without a connection,
     * in ms.
     */
    resumed: [milliseconds: number];
    /** A sent message may not have arrived, or a queued message will not be sent. The client does not send it again. */
    lost: [message: LostMessage];
    /**
     * A message to this client alone, through a room that it has not joined. In a joined room it is a room event instead.
     */
    direct: [message: DirectMessage];
    /**
     * An error that is not caused by a call, and therefore cannot be thrown: for example `rejected` when the server has rejected
     * a packet. Without a listener it goes to the console.
     */
    error: [error: RoomerError];
    /** The server has put the client into a room that it had not joined. Emitted before the room's `open`. */
    room: [room: Room<E>];
}

/**
 * A room's events other than messages. Peers cannot send these events, and cause them only by joining, leaving and changing.
 */
export interface RoomEvents {
    /** The client has entered the room for the first time. */
    open: [];
    /** The client is in the room again with a new id; the argument is the previous one. Not emitted if a session resumes. */
    reopen: [previousId: string];
    /** The room is closed permanently. The error is the cause, except after `leave()`. */
    close: [error?: RoomerError];
    /** Another client has joined, or had joined when the room reopened. */
    new_member: [id: string, member: Member];
    /** Another client has left, or had left when the room reopened. */
    member_left: [id: string, member: Member];
    /**
     * A member's info has changed, or the member is `away` or back. After a reopen, this also reports changes in the meantime.
     * The member may be this client.
     */
    member_changed: [id: string, member: Member];
    /**
     * The number of members has changed, or had changed when the room reopened. Emitted only in rooms whose members the server
     * counts without sending their ids, and only if it supports sessions.
     */
    count_changed: [count: number];
    /**
     * Some messages after the last received one could not be recovered. Emitted before `reopen` and before any recovered
     * messages.
     */
    history_lost: [history: History];
}

/** A room member. Frozen; each change creates a new object. */
export interface Member {
    readonly id: string;
    /** The JSON value that the server or the client has set; null if there is none, and on servers with the plain protocol. */
    readonly info: any;
    /** The user that the server has authenticated for the member. */
    readonly user: string | undefined;
    /**
     * True while the member has no connection but may still resume its session. Otherwise absent. It is also absent for this
     * client itself, and in rooms where the server does not announce it.
     */
    readonly away?: true;
}

/** A room's message history, as of the latest join. Frozen. */
export interface History {
    /** The history's epoch, which changes when the server has restarted or has dropped the room's history. */
    readonly epoch: number;
    /** The number of the newest message at that time. Messages with higher numbers were sent after the join. */
    readonly number: number;
    /** True if no message after the last received one is missing; false at the first join. */
    readonly recovered: boolean;
}

export interface JoinOptions {
    /**
     * The number of past messages to request at the first join of a room with a history. After a lost session, the client
     * requests all missed messages; with 0, it requests only those. If `join()` is called repeatedly for a room, the first call
     * decides.
     */
    history?: number;
}

export interface RequestOptions {
    /** The id of the client that receives the request. Without it, the request goes to the server. */
    to?: string;
    /** The time to wait for the answer, in milliseconds. Default 10,000. */
    timeout?: number;
    /** Abandons the request when it aborts. */
    signal?: AbortSignalLike;
}

/** A message yielded by `messages()`. */
export interface Message<Payload, Event extends string = string> {
    event: Event;
    payload: Payload;
    /** The sender's id; "" for the server. */
    from: string;
    /** True if the message was sent to this client alone. */
    direct: boolean;
    /** The message's number in a room with a history. */
    number?: number;
    /** The number of messages dropped before this one because the reader was too slow. */
    missed: number;
}

export interface MessagesOptions {
    /** Ends the loop when it aborts. */
    signal?: AbortSignalLike;
    /** The number of messages that may be queued for the reader; beyond that, the oldest is dropped. At least 1, default 256. */
    buffer?: number;
}

/** A live view of a room's member ids, without a copy. */
export interface MemberSet extends Iterable<string> {
    readonly size: number;
    has(id: string): boolean;
}

/** A room. Frozen. Its listeners stay registered across reconnects. */
export interface Room<E = AnyEvents<unknown>> {
    readonly name: string;
    readonly state: RoomState;
    /**
     * This client's id in the room, "" before it opens. It changes with each session, or without sessions with each connection.
     */
    readonly id: string;
    /** Resolves when the room opens for the first time; rejects if it closes first. */
    readonly opened: Promise<Room<E>>;
    /**
     * Resolves once the server has handled all messages sent to the room so far, including queued ones: with true, or with false
     * if a message was lost (see the event `lost`), or if a request failed before it was sent. Never rejects.
     */
    readonly sent: Promise<boolean>;
    /** Returns the ids of all members, including this client. Without a connection, returns the last known ones. */
    members(): string[];
    /** The ids of all members, as a live view. */
    readonly memberSet: MemberSet;
    /** Returns a member with its info and user; undefined if there is none with this id. */
    member(id: string): Member | undefined;
    /** The room's history as of the latest join; undefined without the `history` option, or if the room has no history. */
    readonly history: History | undefined;
    /**
     * The number of members. In rooms that announce only this number, it stays current if the server supports sessions; otherwise
     * it is the number at the time of the join.
     */
    readonly count: number;
    /**
     * Sends a message to all other members of the room, or to the client `to` alone, which need not be a member.
     *
     * @throws {RoomerError} `closed` after leave() or close(), `argument` for a reserved event, a wrong payload, or a message
     * |  larger than the server accepts
     */
    send<K extends keyof E & string>(event: MessageName<E, K>, ...rest: SendArguments<E[K]>): SendResult;
    send<K extends keyof E & string>(event: MessageName<E, K>, payload: E[K], to?: string): SendResult;
    /**
     * Sends a request to the server, or to the client `to`, and returns the answer. The request is queued like a message, and
     * survives a lost connection if the session resumes. Rejects with a RoomerError: `answer` (`kind` contains the reason),
     * `timeout`, `aborted`, `closed`, `unknown` (the session has ended, so the request may or may not have been handled), `plain`
     * (the server does not support requests), `dropped` (the queue is full) or `argument`.
     */
    request<K extends keyof E & string>(event: RequestName<E, K>, ...rest: RequestArguments<Question<E[K]>>): Promise<Answer<E, K>>;
    request<K extends keyof E & string>(event: RequestName<E, K>, payload: Question<E[K]>, options?: RequestOptions): Promise<Answer<E, K>>;
    /**
     * Registers the handler for requests with this event that other clients and the server send to this client through this room.
     * Each event has at most one handler. If the handler throws a RoomerError, the requester receives its code and text. If it
     * throws any other error, the requester receives only the code `failed`, and this client emits the error as `error`.
     *
     * @returns the function that removes the handler
     * @throws {RoomerError} `argument`
     */
    handle<K extends keyof E & string>(event: RequestName<E, K>, handler: (payload: Question<E[K]>, from: string) => MaybePromise<Result<E, K>>): Off;
    /**
     * Undoes one `join()`. When all have been undone, the client leaves the room, and the promise resolves once the server has
     * confirmed that, or the session has ended. If the room is joined again in the same turn, the client stays and other members
     * see no change.
     */
    leave(): Promise<void>;
    on<K extends keyof RoomEvents>(event: K, listener: (...args: RoomEvents[K]) => unknown, options?: ListenOptions): Off;
    on<K extends keyof E & string>(event: K, listener: MessageListener<E, K>, options?: ListenOptions): Off;
    /** Removes all registrations of a listener for an event. */
    off(event: (keyof E & string) | keyof RoomEvents, listener: (...args: any[]) => unknown): void;
    /** Returns future messages with this event, for `for await`. Continues across reconnects and ends when the room closes. */
    messages<K extends keyof E & string>(event: MessageName<E, K>, options?: MessagesOptions): AsyncIterableIterator<Message<E[K], K>>;
    /** Exists only in the types. */
    readonly [payloads]?: Payloads<E> | undefined;
}

/** A client and its connection. Frozen. */
export interface Client<E = AnyEvents<unknown>> {
    readonly state: State;
    /**
     * This client's id in its session, or on the connection if the server has no sessions; "" until the server has sent it.
     */
    readonly id: string;
    /**
     * The room that every client joins automatically. After the server has removed the client from it, a new join creates a new
     * room, which `root` then refers to (with `roomer/core`, it still refers to the first).
     */
    readonly root: Room<E>;
    /**
     * Returns the room with this name, and joins it if necessary, with or without a connection. Each call needs its own
     * `leave()`.
     */
    join(name: string, options?: JoinOptions & { codec?: undefined }): Room<E>;
    join<R extends EventMap<R>>(name: string, options?: JoinOptions & { codec?: undefined }): Room<R>;
    join<Payload, Decoded extends Payload>(name: string, options: JoinOptions & { codec: Codec<Payload, Decoded> }): Room<DecodedEvents<Decoded>>;
    join<R extends BytesMap<R> = AnyEvents<Uint8Array>>(name: string, options: JoinOptions & { codec: "bytes" }): Room<R>;
    join<R extends TextMap<R> = AnyEvents<string>>(name: string, options: JoinOptions & { codec: "text" }): Room<R>;
    join<R extends EventMap<R> = AnyEvents<unknown>>(name: string, options: JoinOptions & { codec: "json" | Codec<EncodedBy<R>> }): Room<R>;
    join(name: string, options?: JoinOptions & { codec?: CodecName | Codec }): Room;
    /**
     * Sets this client's info, a JSON value that is sent to the members of its rooms; null removes it. It is sent again in each
     * new session. A server that does not permit it reports `rejected`; a server with the plain protocol ignores it.
     */
    setInfo(info: unknown): void;
    /** Returns the rooms that the client is in or is joining. */
    rooms(): Room<E>[];
    on<K extends keyof ClientEvents<E>>(event: K, listener: (...args: ClientEvents<E>[K]) => unknown, options?: ListenOptions): Off;
    off<K extends keyof ClientEvents<E>>(event: K, listener: (...args: ClientEvents<E>[K]) => unknown): void;
    /**
     * Begins to connect, unless the client has begun already. Needed with `lazy`, and if `connect()` could not connect, for
     * example because a server rendered the page.
     *
     * @throws {RoomerError} `argument` or `no_websocket` if the client cannot connect
     */
    start(): void;
    /** Closes the client and its rooms permanently. */
    close(): void;
}

/** A `URL`, described by the properties that distinguish it, since not all programs have the types of browsers or Node. */
export interface URLLike {
    readonly href: string;
    readonly searchParams: object;
}

export type Address = string | URLLike | (() => MaybePromise<string | URLLike>);

/**
 * Connects to a roomer server and reconnects when necessary. If there is no page to resolve a relative address against, the client
 * stays idle until `start()` is called.
 *
 * @typeParam E the payload type of each event, such as `{ chat: { text: string }; typing: undefined }`
 * @param url such as "wss://example.org/ws", or "/ws" in a page. A function is called for every attempt
 * @throws {RoomerError} `argument`, or `no_websocket` if the address is not relative and there is no `WebSocket`
 */
export function connect<E extends BytesMap<E> = AnyEvents<Uint8Array>>(url: Address, options?: Options & { codec?: "bytes" }): Client<E>;
export function connect<E extends TextMap<E> = AnyEvents<string>>(url: Address, options: Options & { codec: "text" }): Client<E>;
export function connect<Payload, Decoded extends Payload>(url: Address, options: Omit<Options, "codec"> & { codec: Codec<Payload, Decoded> }): Client<DecodedEvents<Decoded>>;
export function connect<E extends EventMap<E> = AnyEvents<unknown>>(url: Address, options: Omit<Options, "codec"> & { codec: "json" | Codec<EncodedBy<E>> }): Client<E>;
/**
 * The overload for options whose codec is not known. An event map needs a codec, as in `connect<E>(url, { ...options, codec:
 * "json" })`.
 */
export function connect(url: Address, options?: Options): Client;
