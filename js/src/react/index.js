"use client";

/**
 * React 18 and 19 hooks for connect() and its rooms.
 *
 * All side effects are in effects: rendering does not join, connect or start a timer, so it works on a server, and React may
 * render any number of times. In a page, the side effects start in layout effects, so a room has its listeners before a message
 * arrives.
 *
 * @module react
 */

import { createContext, createElement, useCallback, useContext, useEffect, useInsertionEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import { connect } from "../index.js";

const Context = /* @__PURE__ */ createContext(undefined);
const useEarlyEffect = typeof window === "undefined" ? useEffect : useLayoutEffect;

const nothing = () => {};

/**
 * Starts an effect as early as a layout effect, and ends it when the component unmounts. A layout effect alone would also end
 * while Suspense hides the component because a sibling loads; a passive effect would not, but it starts later. Returns an object
 * that belongs to the effect and is passed to `start`.
 */
function useLastingEffect(start, dependencies) {
    const effect = useMemo(() => ({}), dependencies);
    useEarlyEffect(() => {
        // Suspense repeats layout effects when it shows the component again.
        effect.end ??= start(effect) ?? nothing;
    }, [effect]);
    useEffect(() => () => {
        // Undefined if start() has failed.
        effect.end?.();
        // StrictMode runs the effect a second time, and the second run must call start() again.
        effect.end = undefined;
    }, [effect]);
    return effect;
}

/* The connection */

/** Each client's state and error. Each change stores a new object, as useSyncExternalStore requires. */
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

/** Returns the identity of an address or token. All functions count as equal, since each render may create a new one. */
const identify = (value) => (typeof value === "function" ? "function" : value && `${value}`);

/**
 * Provides a client to its children: either the given client, or its own, which it closes when it unmounts. Another address or
 * token, such as that of another user, gets another client.
 */
export function RoomerProvider({ client: given, url, options, children }) {
    const [own, setOwn] = useState();
    const kept = useRef();
    const latest = useRef();
    useInsertionEffect(() => {
        latest.current = { url, token: options?.token };
    });
    const key = [url, options?.token].map(identify).join(" ");
    useLastingEffect(() => {
        if (given) {
            // A client is idle if it was created with `lazy`, or during server-side rendering.
            given.state === "idle" && given.start();
            return undefined;
        }
        const last = kept.current;
        // Call the function of the latest render, since that of the first may refer to outdated values.
        const follow = (name, value) => (typeof value === "function" ? () => latest.current[name]() : value);
        const mine = last?.key === key ? last : { key, client: connect(follow("url", url), { ...options, token: follow("token", options?.token) }) };
        kept.current = mine;
        clearTimeout(mine.end);
        const user = (mine.user = {});
        setOwn(mine.client);
        return () => {
            // StrictMode undoes and repeats all effects within one turn, so close the client only after this turn, and only if
            // the effect has not started again by then.
            mine.end = mine.user === user && setTimeout(() => {
                mine.client.close();
                kept.current = kept.current === mine ? undefined : kept.current;
            });
        };
    }, [given, key]);
    const client = given ?? own;
    useLastingEffect(() => client && watch(client, nothing), [client]);
    return createElement(Context.Provider, { value: client }, children);
}

/** Returns the nearest provider's client; undefined before the first effects, and during server-side rendering. */
export const useClient = () => useContext(Context);

/** Returns the connection's state and latest error. */
export function useConnection() {
    const client = useClient();
    return useSyncExternalStore(
        useCallback((changed) => (client ? watch(client, changed) : nothing), [client]),
        () => connectionOf(client),
        () => START
    );
}

/* Rooms */

const CHANGES = ["open", "reopen", "close", "count_changed"];

function listen(room, events, changed) {
    const offs = room ? events.map((event) => room.on(event, changed)) : [];
    return () => offs.forEach((off) => off());
}

/**
 * Joins a room for one more component. If the room is joined already and cannot have this component's options, the component gets
 * the room as it is: an error would remove the whole page, and the order in which components mount may change.
 */
function join(client, name, options) {
    const isJoined = client.rooms().some((room) => room.name === name);
    try {
        return client.join(name, options);
    } catch (error) {
        if (!isJoined) {
            throw error;
        }
        const room = client.join(name);
        console.warn(`useRoom("${name}") ignores its options, since those of the first component apply:`, error);
        return room;
    }
}

/** For each client, the set of components that use useRoom(), as functions to call with each room that a component has joined. */
const users = new WeakMap();

/**
 * Returns a room that stays joined while a component uses it; undefined before it is joined, and during server-side rendering. A
 * room that the server has closed stays closed until a component or the server joins it again. All components then follow the new
 * room.
 */
export function useRoom(name, options) {
    const client = useClient();
    const [joined, setJoined] = useState();
    useLastingEffect(() => {
        if (!client || name == null || client.state === "closed") {
            return undefined;
        }
        users.has(client) || users.set(client, new Set());
        const others = users.get(client);
        let room;
        // The client counts join() and leave() calls: it leaves the room at the end of the turn in which the last user has left.
        const enter = () => setJoined({ client, room: (room = join(client, name, options)) });
        const follow = (other) => other.name === name && other !== room && enter();
        enter();
        others.forEach((each) => each(room));
        others.add(follow);
        const off = client.on("room", follow);
        return () => {
            off();
            others.delete(follow);
            room.leave();
        };
    }, [client, name]);
    const room = joined?.client === client && joined?.room.name === name ? joined.room : undefined;
    // Render again when the room opens or closes, or has a new count of members. Rooms have no event for a broken connection, so
    // also listen to the client's state.
    useSyncExternalStore(
        useCallback((changed) => {
            const offs = [listen(room, CHANGES, changed), client?.on("state", changed)];
            return () => offs.forEach((off) => off?.());
        }, [client, room]),
        // In a room that only counts its members, no other hook shows their number.
        () => room && `${room.state} ${room.memberSet.size || room.count}`,
        nothing
    );
    return room;
}

/** Calls the latest render's listener for each event of a room or client. */
export function useEvent(source, event, listener) {
    const latest = useLastingEffect((effect) => source?.on(event, (...args) => effect.listener?.(...args)), [source, event]);
    useInsertionEffect(() => {
        latest.listener = listener;
        return () => {
            // Passive effects end only some time after the commit. Until then, a removed component, and the room or event of an
            // earlier render, must not call a listener.
            latest.listener = undefined;
        };
    });
}

const NONE = Object.freeze([]);
const MEMBERSHIP = [...CHANGES, "new_member", "member_left", "member_changed"];

/**
 * Each room's current lists. A list stays the same array until a member joins, leaves or changes, or until the number of members
 * changes in a room that only counts them.
 */
const idLists = new WeakMap();
const memberLists = new WeakMap();

function listOf(room, lists, toEntry) {
    if (!room) {
        return NONE;
    }
    const now = room.members().map(toEntry);
    const { count } = room;
    const known = lists.get(room);
    if (known?.count === count && known.list.length === now.length && known.list.every((entry, n) => entry === now[n])) {
        return known.list;
    }
    lists.set(room, { list: Object.freeze(now), count });
    return now;
}

function useList(room, lists, toEntry) {
    return useSyncExternalStore(
        useCallback((changed) => listen(room, MEMBERSHIP, changed), [room]),
        () => listOf(room, lists, toEntry),
        () => NONE
    );
}

/** Returns the ids of all of a room's members, including this client. */
export const useMembers = (room) => useList(room, idLists, (id) => id);

/** Returns all of a room's members with their info and users. */
export const useMemberInfo = (room) => useList(room, memberLists, (id) => room.member(id));
