import type { ListenOptions, Options } from "./options.js";

export type { Clock, DebugRecord, ListenOptions, Options, QueueOptions, ReconnectOptions } from "./options.js";

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
    | "listener"
    | "answer"
    | "aborted"
    | "unknown"
    | "plain"
    | "dropped"
    | "rejected"
    | "token";

/** An error of this client, or of a handler of requests, which may use codes of its own. */
export class RoomerError extends Error {
    constructor(
        code: ErrorCode | (string & {}),
        message: string,
        details?: { cause?: unknown; closeCode?: number; reason?: string; kind?: string; room?: string; event?: string; remedy?: string }
    );
    readonly code: ErrorCode | (string & {});
    readonly cause?: unknown;
    /**
     * With `answer` and `rejected`: the code that the server or the peer has sent, such as `refused`, `gone` or one of the application.
     * The README lists those of the server.
     */
    readonly kind?: string;
    /** With `rejected`: the room of the packet that the server has refused. */
    readonly room?: string;
    /** With `rejected`: the event of that packet. */
    readonly event?: string;
    /** With `rejected`: advice for developers, if there is any for this kind. */
    readonly remedy?: string;
    /** With `lost` and `ended`: the WebSocket close code, 1006 if there was none. */
    readonly closeCode?: number;
    /** With `lost` and `ended`: the reason that the server sent with the close code. */
    readonly reason?: string;
}

export type MaybePromise<T> = T | Promise<T>;

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
    /** An error that no call can throw, such as `rejected`: the server has refused a packet. Without a listener it goes to the console. */
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
    new_member: [id: string, member: Member];
    /** Another client has left, or was missing when the room reopened. */
    member_left: [id: string, member: Member];
    /** The info of a member has changed, or had changed when the room reopened. The member may be this client. */
    member_changed: [id: string, member: Member];
    /** Messages after the last one that this client has seen could not be recovered. Emitted before `reopen`, and before the last messages. */
    history_lost: [history: History];
}

/** A member of a room. Frozen; a change makes a new object. */
export interface Member {
    readonly id: string;
    /** The JSON value that the server or the client has set; null without one, and on servers with the plain protocol. */
    readonly info: any;
    /** The user as which the server has let the member in. */
    readonly user: string | undefined;
}

/** The memory of a room, at the latest join. Frozen. */
export interface History {
    /** The memory: a new one begins when the server has started anew, or has forgotten the room. */
    readonly epoch: number;
    /** The number of the newest message at that time: messages with a number up to this one are from before the join. */
    readonly number: number;
    /** True if nothing is missing after the message that this client has seen last; false at the first join. */
    readonly recovered: boolean;
}

export interface JoinOptions {
    /**
     * Asks a room that remembers for its last messages: at the first join this many, after a lost session all that were missed. 0: only
     * the latter. Of the calls of `join()` for a room, the first decides.
     */
    history?: number;
}

export interface RequestOptions {
    /** The id of the client to ask; without it, the server. */
    to?: string;
    /** Time limit of the answer, in milliseconds. Default 10,000. */
    timeout?: number;
    /** Gives the request up when it aborts. */
    signal?: AbortSignal;
}

/** The payload of a request. In the event map a request is a function from the payload to the answer. */
export type Question<T> = T extends (payload: infer P) => any ? P : T;
/** The answer to a request: of an event that is not a function in the map, it is not known. */
export type Answer<E, K extends keyof E> = E[K] extends (payload: any) => infer R ? Awaited<R> : string extends keyof E ? E[K] : unknown;
/** The result of a handler of requests. */
export type Result<E, K extends keyof E> = E[K] extends (payload: any) => infer R ? Awaited<R> : string extends keyof E ? ([E[K]] extends [Uint8Array] ? Bytes : E[K]) | void : unknown;
/** The arguments of `request()` after the event. */
export type RequestArguments<Payload> = [Payload] extends [Uint8Array]
    ? [payload?: Bytes, options?: RequestOptions]
    : undefined extends Payload
      ? [payload?: Payload, options?: RequestOptions]
      : [payload: Payload, options?: RequestOptions];

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
    /** Number of the message, in a room that remembers. */
    number?: number;
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
    /** Returns a member with its info and its user; undefined if there is no such member. */
    member(id: string): Member | undefined;
    /** The memory of the room at the latest join; undefined if the client has not asked with `history`, or the room does not remember. */
    readonly history: History | undefined;
    /** Number of members. Where the server sends only the number: their number when the client joined, or with sessions now. */
    readonly count: number;
    /**
     * Sends to all other members of the room, or to the one client `to`, which does not have to be a member.
     *
     * @throws {RoomerError} `closed` after leave() or close(), `argument` for a reserved event or a wrong payload
     */
    send<K extends keyof E & string>(event: K, ...rest: SendArguments<E[K]>): SendResult;
    send<K extends keyof E & string>(event: K, payload: E[K], to?: string): SendResult;
    /**
     * Asks the server, or the client `to`, and returns the answer. The request waits for the connection and the room like a message, and
     * survives a lost connection if the session continues. Rejects with a RoomerError: `answer` (the `kind` tells why), `timeout`,
     * `aborted`, `closed`, `unknown` (the session has ended: the request may or may not have been handled), `plain` (the server does not
     * have requests), `dropped` (the queue is full) or `argument`.
     */
    request<K extends keyof E & string>(event: K, ...rest: RequestArguments<Question<E[K]>>): Promise<Answer<E, K>>;
    /**
     * Answers the requests of an event that other clients and the server send to this client through this room. An event has one
     * handler. A RoomerError that it throws is sent to the asker, with its code and text; of other errors the asker learns only that
     * the handler has failed, and they go to the event `error` of this client.
     *
     * @returns the function that removes the handler
     * @throws {RoomerError} `argument`
     */
    handle<K extends keyof E & string>(event: K, handler: (payload: Question<E[K]>, from: string) => MaybePromise<Result<E, K>>): Off;
    /**
     * Undoes one `join()`. The last one leaves: the promise resolves when the server has confirmed it, or the session has ended.
     * If the room is joined again in the same turn, the client stays, and others see no change.
     */
    leave(): Promise<void>;
    on<K extends keyof RoomEvents>(event: K, listener: (...args: RoomEvents[K]) => unknown, options?: ListenOptions): Off;
    on<K extends keyof E & string>(
        event: K,
        listener: (payload: E[K], from: string, direct: boolean, number?: number) => unknown,
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
    join<R = E>(name: string, options?: JoinOptions): Room<R>;
    join<R extends BytesMap<R> = AnyEvents<Uint8Array>>(name: string, options: JoinOptions & { codec: "bytes" }): Room<R>;
    join<R extends TextMap<R> = AnyEvents<string>>(name: string, options: JoinOptions & { codec: "text" }): Room<R>;
    join<R = AnyEvents<unknown>>(name: string, options: JoinOptions & { codec: "json" | Codec }): Room<R>;
    /**
     * Sets the info of this client, a JSON value, which the members of its rooms see; null for none. It is sent again in each new
     * session. A server that does not permit it reports `rejected`; a server with the plain protocol ignores it.
     */
    setInfo(info: unknown): void;
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
export type BytesMap<E> = { [K in keyof E]: Uint8Array | ((payload: Uint8Array) => Uint8Array) };
/** An event map for the codec "text". */
export type TextMap<E> = { [K in keyof E]: string | ((payload: string) => string) };

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
