import type { ReactElement, ReactNode } from "react";

import type { Address, AnyEvents, Client, ClientEvents, Codec, CodecName, JoinOptions, Member, Options, Room, RoomEvents, RoomerError, State } from "../index.js";

export type RoomerProviderProps = { children?: ReactNode } & (
    | {
          /** A client of the application: the provider starts it if it is idle, and does not close it. */
          client: Client<any>;
          url?: undefined;
          options?: undefined;
      }
    | {
          client?: undefined;
          /**
           * Address of the connection while the provider is mounted; not used on a server. A different value makes a new
           * connection, so a function or a `URL` should be the same object at each rendering.
           */
          url: Address;
          /** Options of `connect()`, read when it connects. */
          options?: Options;
      }
);

/** Provides a client to its children. */
export function RoomerProvider(props: RoomerProviderProps): ReactElement;

/** Returns the client of the nearest provider; undefined before the first effects, on a server, and without a provider. */
export function useClient<E = AnyEvents<unknown>>(): Client<E> | undefined;

/** State of the connection. The same object until it changes. */
export interface Connection {
    readonly state: State;
    /** Cause of `suspended` or `closed`. */
    readonly error: RoomerError | undefined;
}

/** Returns the state and the latest error of the connection; `idle` on a server. */
export function useConnection(): Connection;

/**
 * Joins a room, and leaves it when the last component that uses it is unmounted. Renders again when its state changes.
 *
 * @typeParam E the payload of each event
 * @param name without a name, no room is joined
 * @param options options of `client.join()`; those of the first component apply
 * @returns the room; undefined at the first rendering, and on a server
 */
export function useRoom<E = AnyEvents<unknown>>(name: string | null | undefined, options?: JoinOptions & { codec?: CodecName | Codec }): Room<E> | undefined;

/** Calls the listener of the latest rendering for each event of a room. It is never added twice. */
export function useEvent<K extends keyof RoomEvents>(room: Room<any> | undefined, event: K, listener: (...args: RoomEvents[K]) => unknown): void;
export function useEvent<E, K extends keyof E & string>(
    room: Room<E> | undefined,
    event: K,
    listener: (payload: E[K], from: string, direct: boolean, number?: number) => unknown
): void;
/** Calls the listener of the latest rendering for each event of a client. */
export function useEvent<E, K extends keyof ClientEvents<E>>(client: Client<E> | undefined, event: K, listener: (...args: ClientEvents<E>[K]) => unknown): void;

/** Returns the ids of all members, including this client; the same array until it changes. Empty before the room opens, and on a server. */
export function useMembers(room: Room<any> | undefined): readonly string[];

/** Returns all members with their info and their users; the same array until a member joins, leaves or changes. */
export function useMemberInfo(room: Room<any> | undefined): readonly Member[];
