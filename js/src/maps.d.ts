/** Event maps, and the types that are derived from them. There is no such module at run time: `roomer` exports these types. */

import type { RequestOptions, RoomEvents } from "./index.js";

/** The event map of `connect()` without a type argument: any event, with the codec's payload type. */
export type AnyEvents<Payload> = Record<string, Payload>;

/** Names that applications cannot use for their messages and requests. */
export type ReservedEvent = keyof RoomEvents | "join" | "join_ack" | "leave" | "leave_ack" | `roomer:${string}`;

type AnyFunction = (...args: any) => unknown;
type IsAny<T> = 0 extends 1 & T ? true : false;

// The conditional types below compare the spread of `[]`, for what they reject, or of `[true]`. If E or K is a type parameter,
// TypeScript reads the spread as an array of any length, which does not extend `[]`, and so assumes that nothing is rejected:
// functions that are generic over the event map can pass on a K that extends keyof E.

/** A key of a map that no event can have: a reserved name, or a request with several parameters. */
export interface NotAnEvent {
    readonly [note]: "choose another name, or a request with one parameter";
}
/** An event that cannot be sent and received as a message: a request, or a reserved name. */
export interface NotAMessage {
    readonly [note]: "use request() and handle()";
}
/** An event that cannot be requested: a message, or a reserved name. */
export interface NotARequest {
    readonly [note]: "use send() and on()";
}
export declare const note: unique symbol;

/** An event map: payloads by the names of messages, and functions from a payload to an answer by the names of requests. */
export type EventMap<E> = {
    [K in keyof E]: [...(K extends ReservedEvent ? [] : E[K] extends AnyFunction ? (E[K] extends (payload: any) => unknown ? [true] : []) : [true])] extends []
        ? NotAnEvent
        : unknown;
};
/** An event map for the codec "bytes". */
export type BytesMap<E> = { [K in keyof E]: [...(K extends ReservedEvent ? [] : [true])] extends [] ? NotAnEvent : Uint8Array | ((payload: Uint8Array) => Uint8Array) };
/** An event map for the codec "text". */
export type TextMap<E> = { [K in keyof E]: [...(K extends ReservedEvent ? [] : [true])] extends [] ? NotAnEvent : string | ((payload: string) => string) };
/** The event map of a custom codec without a type argument. */
export type DecodedEvents<Decoded> = AnyEvents<IsAny<Decoded> extends true ? unknown : Decoded>;

/** The event K if it is a message. */
export type MessageName<E, K extends keyof E> = {
    [P in K]: [...(P extends ReservedEvent ? [] : E[P] extends AnyFunction ? [] : [true])] extends [] ? NotAMessage : P;
}[K];
/** A listener for the message K. */
export type MessageListener<E, K extends keyof E> = [K] extends [MessageName<E, K>]
    ? (payload: E[K], from: string, direct: boolean, number?: number) => unknown
    : NotAMessage;
/** The event K if it is a request: a function in the event map, or any event if the map does not name its events. */
export type RequestName<E, K extends keyof E> = {
    [P in K]: [
        ...(P extends ReservedEvent ? [] : string extends keyof E ? [true] : unknown extends E[P] ? [true] : E[P] extends AnyFunction ? [true] : [])
    ] extends []
        ? NotARequest
        : P;
}[K];

/** A request's payload. In the event map a request is a function from its payload to its answer. */
export type Question<T> = T extends (...args: infer P) => any ? (P extends [] ? undefined : P[0]) : T;
/** A request's answer; `unknown` for an event that is not a function in the map. */
export type Answer<E, K extends keyof E> = E[K] extends (payload: any) => infer R ? Awaited<R> : string extends keyof E ? E[K] : unknown;
/** A request handler's return value. */
export type Result<E, K extends keyof E> = E[K] extends (payload: any) => infer R ? Awaited<R> : string extends keyof E ? ([E[K]] extends [Uint8Array] ? Bytes : E[K]) | void : unknown;

/** The values that the codec "bytes" encodes. */
export type Bytes = Uint8Array | ArrayBuffer | ArrayBufferView | string;

/** The arguments of `send()` after the event. The payload is optional if its type includes `undefined`. */
export type SendArguments<Payload> = [Payload] extends [Uint8Array]
    ? [payload?: Bytes, to?: string]
    : undefined extends Payload
      ? [payload?: Payload, to?: string]
      : [payload: Payload, to?: string];

/** The arguments of `request()` after the event. */
export type RequestArguments<Payload> = [Payload] extends [Uint8Array]
    ? [payload?: Bytes, options?: RequestOptions]
    : undefined extends Payload
      ? [payload?: Payload, options?: RequestOptions]
      : [payload: Payload, options?: RequestOptions];

/** All values that a map's codec has to encode. */
export type EncodedBy<E> = Exclude<{ [K in keyof E]: E[K] extends AnyFunction ? Question<E[K]> | Answer<E, K> : E[K] }[keyof E], void>;

/** A key that no object has: see `Payloads`. */
export declare const payloads: unique symbol;
/**
 * Makes rooms with different payloads different types, which their methods do not, since parameters of methods are bivariant. A
 * room may be used as a room with fewer events, or as one whose payloads are `unknown`.
 */
export type Payloads<E> = IsAny<E> extends true
    ? any
    : { [K in keyof E]: IsAny<E[K]> extends true ? any : (payload: unknown extends E[K] ? never : E[K]) => E[K] };
