import type { Address, AnyEvents, BytesMap, Client, Codec, Options } from "./index.js";

export { RoomerError } from "./index.js";
export type * from "./index.js";

/** A part of the client that can be left out. */
export interface Feature {
    (core: never): void;
}

/**
 * Sessions, and with them the extended protocol: a client without this feature does not ask for it. Then a lost connection ends in a new
 * id, members have no info, `requests` fail with `plain`, and `history`, `ownInfo`, `refusals` and `renewal` have no effect. Only
 * clients with sessions receive the server's hints when to reconnect.
 */
export const sessions: Feature;
/** `room.sent`. */
export const receipts: Feature;
/** `room.messages()`. */
export const streams: Feature;
/** `room.request()` and `room.handle()`. Needs `sessions`. */
export const requests: Feature;
/** The option `history` of `join()`, `room.history`, the event `history_lost`, and the numbers of messages. Needs `sessions`. */
export const history: Feature;
/** `client.setInfo()`. Needs `sessions`. */
export const ownInfo: Feature;
/** The error `rejected`, for packets that the server refuses. Needs `sessions`. */
export const refusals: Feature;
/** Sends a new token when the server asks for one. Needs `sessions`. */
export const renewal: Feature;
/** The event `direct` of the client. */
export const directs: Feature;
/** The option `debug`. */
export const tracing: Feature;

export const bytes: Codec;
export const text: Codec;
export const json: Codec;

/** For the option `tokenIn`: puts the token into the subprotocols. */
export function toProtocol(token: string): string[];

export interface CoreOptions extends Omit<Options, "codec" | "tokenIn"> {
    /** The features. Methods and events of others do not exist, although the types have them. */
    features?: Feature[];
    /** Codec of all rooms that do not name their own. `join()` takes such an object too, and no name. Default `bytes`. */
    codec?: Codec;
    /** Returns the subprotocols for a token. By default the token is in the address. */
    tokenIn?: typeof toProtocol | undefined;
}

/** Connects like the function of the same name in `roomer`, with these features and codecs only. */
export function connect<E extends BytesMap<E> = AnyEvents<Uint8Array>>(url: Address, options?: CoreOptions & { codec?: undefined }): Client<E>;
export function connect<E = AnyEvents<unknown>>(url: Address, options: CoreOptions & { codec: Codec }): Client<E>;
