import type { ReactElement, ReactNode } from "react";

import type {
    Address, AnyEvents, BytesMap, Client, ClientEvents, Codec, CodecName, DecodedEvents, EncodedBy, EventMap, JoinOptions, Member, MessageListener, Options, Room, RoomEvents, RoomerError, State, TextMap
} from "../index.js";

export type RoomerProviderProps = { children?: ReactNode } & (
    | {
          /** A client that the application owns. The provider starts it if it is idle, but does not close it. */
          client: Client<any>;
          url?: undefined;
          options?: undefined;
      }
    | {
          client?: undefined;
          /**
           * The address to connect to while the provider is mounted; not used during server-side rendering. A different address
           * opens a new connection. A function may be a new one in each render: the latest is called for every attempt.
           */
          url: Address;
          /**
           * Options of `connect()`, read when the provider connects. A different `token` opens a new connection, without the rooms
           * and the session of the last. If `token` is a function, the latest is called, so pass a function for a token that is
           * renewed.
           */
          options?: Options;
      }
);

/** Provides a client to its children. */
export function RoomerProvider(props: RoomerProviderProps): ReactElement;

/**
 * Returns the nearest provider's client; undefined before the first effects, in server-side rendering, and without a
 * provider.
 */
export function useClient<E = AnyEvents<unknown>>(): Client<E> | undefined;

/** The connection's state. Each change of state creates a new object. */
export interface Connection {
    readonly state: State;
    /** The cause of `suspended` or `closed`. */
    readonly error: RoomerError | undefined;
}

/** Returns the connection's state and latest error; `idle` during server-side rendering. */
export function useConnection(): Connection;

/**
 * Joins a room, and leaves it when the last component that uses it unmounts. Renders again when the room's state changes.
 *
 * If the server closes the room, by a kick or a rejected join, the room stays closed in all components. When another component
 * mounts with the same name, or the server puts the client into the room again, all components get the new room.
 *
 * @typeParam E each event's payload
 * @param name without a name, no room is joined
 * @param options options for `client.join()`. Those of the first component apply. A later component with another codec, or with a
 * |  `history` that the first does not have, gets the room as it is, and a warning in the console.
 * @returns the room; undefined in the first render and during server-side rendering
 */
export function useRoom<Payload, Decoded extends Payload>(
    name: string | null | undefined,
    options: JoinOptions & { codec: Codec<Payload, Decoded> }
): Room<DecodedEvents<Decoded>> | undefined;
export function useRoom<E extends BytesMap<E> = AnyEvents<Uint8Array>>(name: string | null | undefined, options: JoinOptions & { codec: "bytes" }): Room<E> | undefined;
export function useRoom<E extends TextMap<E> = AnyEvents<string>>(name: string | null | undefined, options: JoinOptions & { codec: "text" }): Room<E> | undefined;
export function useRoom<E extends EventMap<E> = AnyEvents<unknown>>(
    name: string | null | undefined,
    options?: JoinOptions & { codec?: "json" | Codec<EncodedBy<E>> }
): Room<E> | undefined;
export function useRoom(name: string | null | undefined, options?: JoinOptions & { codec?: CodecName | Codec }): Room | undefined;

/** Calls the listener from the latest render each time the room emits `event`. The listener is registered only once. */
export function useEvent<K extends keyof RoomEvents>(room: Room<any> | undefined, event: K, listener: (...args: RoomEvents[K]) => unknown): void;
export function useEvent<E, K extends keyof E & string>(room: Room<E> | undefined, event: K, listener: MessageListener<E, K>): void;
/** Calls the listener from the latest render each time the client emits `event`. */
export function useEvent<E, K extends keyof ClientEvents<E>>(client: Client<E> | undefined, event: K, listener: (...args: ClientEvents<E>[K]) => unknown): void;

/**
 * Returns the ids of all members, including this client; the same array until a change. Empty before the room opens, and in rooms
 * whose members are only counted, where the component renders again when `room.count` changes.
 */
export function useMembers(room: Room<any> | undefined): readonly string[];

/** Returns all members with their info and users; the same array until a member joins, leaves or changes. */
export function useMemberInfo(room: Room<any> | undefined): readonly Member[];
