import type { Address, AnyEvents, Bytes, BytesMap, Client, Codec, DecodedEvents, EncodedBy, EventMap, Options } from "./index.js";

export { RoomerError } from "./index.js";
export type * from "./index.js";

/** A part of the client that can be left out of a bundle. */
export interface Feature {
    (core: never): void;
}

/**
 * Adds sessions, which need the extended protocol. Without this feature the client uses the plain protocol: a lost connection
 * leads to a new id, members have no info, `requests` fail with `plain`, and `history`, `ownInfo`, `rejections` and `renewal` have
 * no effect. The server's reconnect delays apply only to clients with sessions.
 */
export const sessions: Feature;
/** Adds `room.sent`. */
export const receipts: Feature;
/** Adds `room.messages()`. */
export const streams: Feature;
/** Adds `room.request()` and `room.handle()`. Needs `sessions`. */
export const requests: Feature;
/** Adds the `history` option of `join()`, `room.history`, the event `history_lost`, and message numbers. Needs `sessions`. */
export const history: Feature;
/** Adds `client.setInfo()`. Needs `sessions`. */
export const ownInfo: Feature;
/** Adds the error `rejected`, for packets that the server rejects. Needs `sessions`. */
export const rejections: Feature;
/** Sends a new token when the server requests one. Needs `sessions`. */
export const renewal: Feature;
/** Adds the client event `direct`. */
export const directs: Feature;
/** Adds the `debug` option. */
export const tracing: Feature;

export const bytes: Codec<Bytes, Uint8Array>;
export const text: Codec<string, string>;
export const json: Codec;

/** A value for the `tokenIn` option: sends the token as a subprotocol. */
export function toProtocol(token: string): string[];

export interface CoreOptions extends Omit<Options, "codec" | "tokenIn"> {
    /** The features to include. The methods and events of other features do not exist, although the types declare them. */
    features?: Feature[];
    /**
     * The default codec for all rooms. Like `join()`, it accepts a codec object such as `json`, but not a codec's name. Default
     * `bytes`.
     */
    codec?: Codec;
    /**
     * A function that returns the subprotocols for a token, such as `toProtocol`. By default the token is sent in the address.
     */
    tokenIn?: typeof toProtocol | undefined;
}

/** Connects like `connect()` of `roomer`, but only with these features and codecs. */
export function connect<E extends BytesMap<E> = AnyEvents<Uint8Array>>(url: Address, options?: CoreOptions & { codec?: undefined }): Client<E>;
export function connect<Payload, Decoded extends Payload>(url: Address, options: Omit<CoreOptions, "codec"> & { codec: Codec<Payload, Decoded> }): Client<DecodedEvents<Decoded>>;
export function connect<E extends EventMap<E> = AnyEvents<unknown>>(url: Address, options: Omit<CoreOptions, "codec"> & { codec: Codec<EncodedBy<E>> }): Client<E>;
/** For options whose codec is not known. An event map needs a codec, as in `connect<E>(url, { ...options, codec: json })`. */
export function connect(url: Address, options?: CoreOptions): Client;
