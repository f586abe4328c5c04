import type { Address, AnyEvents, BytesMap, Client, Codec, Options, TextMap } from "./index.js";

export { RoomerError } from "./index.js";
export type * from "./index.js";

/** A part of the client that can be left out. */
export interface Feature {
    (core: never): object;
}

/** `room.messages()`. */
export const streams: Feature;
/** `room.request()` and `room.handle()`. */
export const requests: Feature;
/** The option `history` of `join()`, `room.history` and the event `history_lost`. */
export const history: Feature;
/** `client.setInfo()`. */
export const ownInfo: Feature;
/** The error `rejected`, for packets that the server refuses. */
export const refusals: Feature;
/** Sends a new token when the server asks for one. */
export const renewal: Feature;

export interface CoreOptions extends Options {
    /** The features. Methods and events of others do not exist, although the types have them. */
    features?: Feature[];
}

/** Connects like the function of the same name in `roomer`, with these features only. */
export function connect<E extends BytesMap<E> = AnyEvents<Uint8Array>>(url: Address, options?: CoreOptions & { codec?: "bytes" }): Client<E>;
export function connect<E extends TextMap<E> = AnyEvents<string>>(url: Address, options: CoreOptions & { codec: "text" }): Client<E>;
export function connect<E = AnyEvents<unknown>>(url: Address, options: CoreOptions & { codec: "json" | Codec }): Client<E>;
