/** Uses of roomer/react that must compile, and uses that must not. */

import { createElement } from "react";

import { connect } from "roomer";
import type { Client, Room } from "roomer";
import { RoomerProvider, useClient, useConnection, useEvent, useMembers, useRoom } from "roomer/react";

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
