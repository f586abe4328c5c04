/** Uses of roomer/react that must compile, and uses that must not. */

import { createElement } from "react";

import { connect } from "roomer";
import type { Client, Room } from "roomer";
import { json } from "roomer/core";
import { RoomerProvider, useClient, useConnection, useEvent, useMemberInfo, useMembers, useRoom } from "roomer/react";

interface Events {
    chat: { text: string };
    typing: undefined;
}

export const app = createElement(RoomerProvider, { url: "/ws", options: { codec: "json" } }, "children");
export const other = createElement(RoomerProvider, { client: connect<Events>("/ws", { codec: "json" }) });
// @ts-expect-error: both props, of which only one is allowed
export const both = createElement(RoomerProvider, { url: "/ws", client: connect<Events>("/ws", { codec: "json" }) });
// @ts-expect-error: neither prop
export const neither = createElement(RoomerProvider, {});

// Components may have rooms as props.
function Line({ room, onSent }: { room: Room<{ chat: { text: string } }>; onSent?: (text: string) => void }) {
    useEvent(room, "chat", ({ text }) => onSent?.(text));
    return createElement("p", null, useMembers(room).length);
}
function Status({ room, client }: { room: Room; client?: Client }) {
    useEvent(client, "state", (state) => state);
    return createElement("p", null, useMemberInfo(room).length, room.name);
}
function Typed<E extends { typing: undefined }>({ room }: { room: Room<E> }) {
    useEvent(room, "typing", (payload, from) => from.length);
    room.send("typing", undefined);
    return null;
}
declare const lobby: Room<Events>;
export const line = createElement(Line, { room: lobby });
export const status = createElement(Status, { room: lobby, client: connect<Events>("/ws", { codec: "json" }) });
export const typed = createElement(Typed<Events>, { room: lobby });
// @ts-expect-error a room with other events
export const wrong = createElement(Line, { room: connect<{ chat: string }>("/ws", { codec: "json" }).root });

export function Lobby() {
    const room: Room<Events> | undefined = useRoom<Events>("lobby", { codec: "json" });
    const { state, error } = useConnection();
    const ids: readonly string[] = useMembers(room);
    const client: Client<Events> | undefined = useClient<Events>();
    useEvent(room, "chat", ({ text }, from, direct) => text.length + from.length + Number(direct));
    useEvent(room, "new_member", (id) => id.length);
    useEvent(room, "close", (why) => why?.code);
    useEvent(client, "state", (now, why) => [now, why?.closeCode]);
    useRoom(null);
    useRoom("notes", { codec: "text" })?.on("note", (note) => note.length);
    useRoom("files", { codec: "bytes", history: 5 })?.on("file", (bytes) => bytes.byteLength);
    useRoom("numbers", { codec: { encode: (value: number) => new Uint8Array([value]), decode: (bytes) => bytes[0]! } })?.on("n", (n) => n.toFixed());
    useRoom("any")?.on("x", (payload: unknown) => payload);
    useRoom<Events>("packed", { codec: json })?.send("typing");
    // @ts-expect-error objects are not text
    useRoom<Events>("notes", { codec: "text" });
    // @ts-expect-error no such codec
    useRoom("notes", { codec: "xml" });
    // @ts-expect-error: no such payload
    useEvent(room, "chat", ({ txt }) => txt);
    // @ts-expect-error: no such event
    useEvent(room, "chatt", () => {});
    // @ts-expect-error: no such payload
    room?.send("chat", { txt: "" });
    // @ts-expect-error: the list is read-only
    ids.push("x");
    return [state, error?.code].join();
}
