import type { ReactElement, ReactNode } from "react";

import type { Address, AnyEvents, Client, ClientEvents, Codec, CodecName, Options, Room, RoomEvents, RoomerError, State } from "../index.js";

export type RoomerProviderProps = { children?: ReactNode } & (
    | {
          /** A client that is yours: the provider starts it if it is idle, and does not close it. */
          client: Client<any>;
          url?: undefined;
          options?: undefined;
      }
    | {
          client?: undefined;
          /**
           * Where to connect, while the provider is mounted; never on a server. Another one is another connection, so a
           * function or a `URL` should be the same at each rendering.
           */
          url: Address;
          /** What `connect()` takes; read when it connects. */
          options?: Options;
      }
);

/** Gives a client to all below. */
export function RoomerProvider(props: RoomerProviderProps): ReactElement;

/** The client of the provider above; undefined before the first effects, on a server, and without a provider. */
export function useClient<E = AnyEvents<unknown>>(): Client<E> | undefined;

/** What the connection is like. The same object until it changes. */
export interface Connection {
    readonly state: State;
    /** Why it is `suspended` or `closed`. */
    readonly error: RoomerError | undefined;
}

/** State and latest error of the connection; `idle` on a server. */
export function useConnection(): Connection;

/**
 * Joins a room, and leaves it when the last component that uses it is unmounted. Renders again when its state is another.
 *
 * @typeParam E the payload of each event
 * @param name none is no room
 * @param options as of `client.join()`; those of the first component count
 * @returns undefined before it is joined: at the first rendering, and on a server
 */
export function useRoom<E = AnyEvents<unknown>>(name: string | null | undefined, options?: { codec?: CodecName | Codec }): Room<E> | undefined;

/** Calls a function at each event of a room. It is always the one of the latest rendering, and never added twice. */
export function useEvent<K extends keyof RoomEvents>(room: Room<any> | undefined, event: K, listener: (...args: RoomEvents[K]) => unknown): void;
export function useEvent<E, K extends keyof E & string>(
    room: Room<E> | undefined,
    event: K,
    listener: (payload: E[K], from: string, direct: boolean) => unknown
): void;
/** Calls a function at each event of a client. */
export function useEvent<E, K extends keyof ClientEvents<E>>(client: Client<E> | undefined, event: K, listener: (...args: ClientEvents<E>[K]) => unknown): void;

/** Ids of all who are in a room, ours included; the same array until it changes. Empty before it opens, and on a server. */
export function useMembers(room: Room<any> | undefined): readonly string[];
