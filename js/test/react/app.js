/** A small app that uses the hooks. */

import { createElement as h } from "react";

import { RoomerProvider, useConnection, useMembers, useRoom } from "../../src/react/index.js";

export function Count({ name = "lobby" }) {
    const room = useRoom(name);
    return h("b", null, `${name} ${room?.state ?? "none"} ${useMembers(room).length}`);
}

export function State() {
    const { state, error } = useConnection();
    return h("i", null, `${state} ${error?.code ?? ""}`);
}

export const app = (options) => h(RoomerProvider, { url: "ws://test/ws", options }, h(State), h(Count));
