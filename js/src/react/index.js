/**
 * Rooms in React 18 and 19: hooks over connect().
 *
 * Everything happens in effects: rendering joins nothing, connects nothing and starts no timer, so that a server can render,
 * and React may render as often as it likes. Effects are layout effects where there is a page: a room that has just been
 * joined has its listeners before anything can arrive.
 *
 * @module react
 */

import { createContext, createElement, useCallback, useContext, useEffect, useInsertionEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";

import { connect } from "../index.js";

const Context = /* @__PURE__ */ createContext(undefined);
const useEarlyEffect = typeof window === "undefined" ? useEffect : useLayoutEffect;

const nothing = () => {};

/* The connection */

/** What the connection of each client is like: one object for each change, as useSyncExternalStore wants it. */
const connections = new WeakMap();
const START = { state: "idle", error: undefined };

function connectionOf(client) {
    if (!client) {
        return START;
    }
    const known = connections.get(client);
    if (known?.state === client.state) {
        return known;
    }
    const now = { state: client.state, error: undefined };
    connections.set(client, now);
    return now;
}

function watch(client, changed) {
    return client.on("state", (state, error) => {
        connections.set(client, { state, error });
        changed();
    });
}

/** Gives a client to all below: one that it is given, or one of its own, which lives as long as it does. */
export function RoomerProvider({ client: given, url, options, children }) {
    const [own, setOwn] = useState();
    const kept = useRef();
    useEarlyEffect(() => {
        if (given) {
            // Made lazily, or where it was rendered first.
            given.state === "idle" && given.start();
            return undefined;
        }
        const last = kept.current;
        const mine = last?.url === url ? last : { url, client: connect(url, options) };
        kept.current = mine;
        clearTimeout(mine.end);
        setOwn(mine.client);
        return () => {
            // In StrictMode all effects are undone and done again, within one turn.
            mine.end = setTimeout(() => {
                mine.client.close();
                kept.current = kept.current === mine ? undefined : kept.current;
            });
        };
    }, [given, url]);
    const client = given ?? own;
    useEarlyEffect(() => client && watch(client, nothing), [client]);
    return createElement(Context.Provider, { value: client }, children);
}

/** The client of the provider above; none before the first effects, and on a server. */
export const useClient = () => useContext(Context);

/** State and latest error of the connection. */
export function useConnection() {
    const client = useClient();
    return useSyncExternalStore(
        useCallback((changed) => (client ? watch(client, changed) : nothing), [client]),
        () => connectionOf(client),
        () => START
    );
}

/* Rooms */

const CHANGES = ["open", "reopen", "close"];

function listen(room, events, changed) {
    const offs = room ? events.map((event) => room.on(event, changed)) : [];
    return () => offs.forEach((off) => off());
}

/** A room by name, joined as long as a component uses it; undefined before it is joined, and on a server. */
export function useRoom(name, options) {
    const client = useClient();
    const [joined, setJoined] = useState();
    useEarlyEffect(() => {
        if (!client || name == null || client.state === "closed") {
            return undefined;
        }
        // The client counts: the last one leaves, at the end of its turn.
        const room = client.join(name, options);
        setJoined({ client, room });
        return () => void room.leave();
    }, [client, name]);
    const room = joined?.client === client && joined?.room.name === name ? joined.room : undefined;
    // Renders again when the room opens or closes, and when the connection breaks, of which rooms have no event.
    useSyncExternalStore(
        useCallback((changed) => {
            const offs = [listen(room, CHANGES, changed), client?.on("state", changed)];
            return () => offs.forEach((off) => off?.());
        }, [client, room]),
        () => room?.state,
        nothing
    );
    return room;
}

/** Calls a function at each event of a room, or of a client: always the one of the latest rendering. */
export function useEvent(source, event, listener) {
    const latest = useRef(listener);
    useInsertionEffect(() => {
        latest.current = listener;
    });
    useEarlyEffect(() => source?.on(event, (...args) => latest.current(...args)), [source, event]);
}

const NONE = Object.freeze([]);
const MEMBERSHIP = [...CHANGES, "new_member", "member_left"];

/** The latest list of each room: the same as long as the same are in it. */
const lists = new WeakMap();

function membersOf(room) {
    if (!room) {
        return NONE;
    }
    const known = lists.get(room);
    if (known?.length === room.memberSet.size && known.every((id) => room.memberSet.has(id))) {
        return known;
    }
    const now = Object.freeze(room.members());
    lists.set(room, now);
    return now;
}

/** Ids of all who are in a room, ours included. */
export function useMembers(room) {
    return useSyncExternalStore(
        useCallback((changed) => listen(room, MEMBERSHIP, changed), [room]),
        () => membersOf(room),
        () => NONE
    );
}
