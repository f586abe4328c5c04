/** Rooms and clients as parameters: the event maps that are assignable to each other, and those that are not. */

import { connect } from "roomer";
import type { AnyEvents, Client, CodecName, JoinOptions, Options, Room } from "roomer";

interface Events {
    chat: { text: string };
    typing: undefined;
    add: (numbers: [a: number, b: number]) => number;
}
declare const client: Client<Events>;
declare const lobby: Room<Events>;

// The same event map, as a type or as an interface, and a part of it.
type SameEvents = { chat: { text: string }; typing: undefined; add: (numbers: [number, number]) => number };
export const same: Room<SameEvents> = lobby;
export const sameClient: Client<SameEvents> = client;
export const part: Room<Pick<Events, "chat" | "add">> = lobby;
export const partClient: Client<{ chat: { text: string } }> = client;
function say(room: Room<{ chat: { text: string } }>, text: string): void {
    room.send("chat", { text });
}
say(lobby, "hello");
say(client.root, "hello");
lobby.opened.then((room) => say(room, "hello"));
client.on("room", (room) => say(room, "hello"));
client.rooms().forEach((room) => say(room, "hello"));

// A parameter may accept any room or client.
function nameOf(room: Room): string {
    room.on("chat", (payload: unknown) => payload);
    return room.name;
}
function stateOf(given: Client): string {
    return given.state;
}
nameOf(lobby) + nameOf(connect("/ws").root) + nameOf(connect("/ws", { codec: "text" }).root) + stateOf(client) + stateOf(connect("/ws"));
export const loose: Room<any> = lobby;
export const strict: Room<Events> = loose;
export const looseClient: Client<any> = client;
export const strictClient: Client<Events> = looseClient;
export const rooms: Room[] = [lobby, connect("/ws").root];
export const given: Client = connect("/ws");
export const byContext: Client<Events> = connect("/ws", { codec: "json" });
declare const anything: Room<{ chat: any; add: any }>;
say(anything, "hello");
export const described: Room<{ chat: any }> = lobby;

// Optional payloads, and maps whose names are a pattern.
declare const optional: Room<{ chat: { text: string; at?: number }; note?: string }>;
optional.send("note");
optional.send("note", "x");
export const alsoOptional: Room<{ note?: string }> = optional;
declare const numbered: Room<{ [K in `move:${number}`]: { x: number } }>;
numbered.send("move:1", { x: 1 });
numbered.on("move:2", ({ x }) => x.toFixed());
// @ts-expect-error the name has no number
numbered.send("move:a", { x: 1 });

// The payload may be a union, and so may the name of the event.
declare const drawing: Room<{ shape: { kind: "circle"; radius: number } | { kind: "square"; side: number }; clear: undefined; sum: () => number }>;
drawing.send("shape", { kind: "circle", radius: 1 });
drawing.on("shape", (shape) => (shape.kind === "circle" ? shape.radius : shape.side));
// @ts-expect-error a circle has no side
drawing.send("shape", { kind: "circle", side: 1 });
declare const one: "shape" | "clear";
drawing.on(one, (payload) => payload?.kind);
declare const oneOrRequest: "shape" | "sum";
// @ts-expect-error one of the two is a request
drawing.on(oneOrRequest, () => {});

const checked = { chat: { text: "" } } satisfies { [K in "chat"]: Events[K] };
lobby.send("chat", checked.chat);
lobby.send("chat", { text: "" } satisfies Events["chat"]);

// The options for a room may determine the codec, or leave it open.
const options = { history: 5, codec: "text" } satisfies JoinOptions & { codec: CodecName };
client.join("notes", options).on("note", (note) => note.length);
declare const unknownCodec: JoinOptions & { codec?: CodecName };
client.join("notes", unknownCodec).on("note", (note: unknown) => note);
const settings = { codec: "json", lazy: true } satisfies Options;
connect<Events>("/ws", settings).root.send("chat", { text: "" });

// Types can be derived from a room, and listeners can be removed.
type EventsOf<R> = R extends Room<infer E> ? E : never;
export const payload: EventsOf<typeof lobby>["chat"] = { text: "" };
export const listen: Parameters<Room<Events>["off"]>[0] = "chat";
lobby.off("chat", say);
lobby.off("close", say);
// @ts-expect-error no such event
lobby.off("chta", say);

// Other payloads are rejected, and so are events that the room does not have.
function show(room: Room<{ chat: number; price: { eur: number } }>): void {
    room.send("chat", 5);
}
// @ts-expect-error the room has other events
show(lobby);
// @ts-expect-error another payload
export const other: Room<{ chat: number }> = lobby;
// @ts-expect-error a narrower payload, although other members send others
export const narrow: Room<{ chat: { text: "hello" } }> = lobby;
// @ts-expect-error a wider payload, although other members do not expect it
export const wide: Room<{ chat: { text: string } | string }> = lobby;
// @ts-expect-error an event that the room does not have
export const more: Room<{ chat: { text: string }; price: number }> = lobby;
// @ts-expect-error another type of answer
export const answers: Room<{ add: (numbers: [number, number]) => string }> = lobby;
// @ts-expect-error another type of request
export const asks: Room<{ add: (numbers: string) => number }> = lobby;
// @ts-expect-error a client with other events
export const otherClient: Client<{ price: number }> = client;
// @ts-expect-error a room without an event map
say(nameOf as never as Room, "hello");
// @ts-expect-error bytes are not objects
export const bytes: Room<{ chat: { text: string } }> = connect("/ws").root;
// @ts-expect-error bytes are not objects
export const joined: Room<{ chat: { text: string } }> = connect("/ws").join("lobby");
// @ts-expect-error bytes are not text
export const text: Room<AnyEvents<string>> = connect("/ws").root;
// @ts-expect-error a room with its own event map
export const ofOwn: Room<{ chat: { text: string } }> = client.join<{ move: number }>("game");
// @ts-expect-error a list of rooms with other events
export const list: Room<Events>[] = [client.join<{ move: number }>("game")];
