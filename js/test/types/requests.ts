/** Requests cannot be used as messages, nor messages as requests, and neither may have reserved names. */

import { connect } from "roomer";
import * as core from "roomer/core";
import type { Answer, Client, MaybePromise, Question, Result, Room } from "roomer";
import { useEvent, useRoom } from "roomer/react";

interface Calls {
    chat: { text: string };
    add: (numbers: [a: number, b: number]) => number;
    who: () => string;
    find: (name?: string) => { id: string } | null;
    save: (text: string) => Promise<void>;
    unknown: unknown;
    any: any;
}
declare const room: Room<Calls>;

room.request("who").then((name: string) => name);
room.request("who", undefined, { to: "id" });
room.request("find").then((found) => found?.id);
room.request("find", "Ann", { timeout: 5 });
room.request("save", "x").then((done: void) => done);
room.request("unknown", 5).then((answer: unknown) => answer);
room.request("any", 5);
room.handle("who", () => "Ann");
room.handle("find", (name) => (name?.length ? { id: name } : null));
room.handle("save", async (text) => void text.length);
room.handle("add", ([a, b], from) => a + b + from.length);
room.on("any", (payload) => payload.x);

// A request cannot be used as a message.
// @ts-expect-error a request
room.on("add", () => {});
// @ts-expect-error a request
room.on("add", (payload: (numbers: [number, number]) => number) => payload);
// @ts-expect-error a request
room.send("add", [1, 2]);
// @ts-expect-error a request
room.send("add", () => 1);
// @ts-expect-error a request
room.send("who");
// @ts-expect-error a request
room.messages("add");

// A message cannot be used as a request.
// @ts-expect-error a message
room.request("chat", { text: "hello" });
// @ts-expect-error a message
room.handle("chat", () => {});

// Requests and answers must have the right types.
// @ts-expect-error a request without a payload
room.request("who", 5);
// @ts-expect-error a request without a payload
room.request("who", { to: "id" });
// @ts-expect-error a name is a string
room.request("find", 5);
// @ts-expect-error the answer is a string
room.request("who").then((answer: number) => answer);
// @ts-expect-error the answer may be null
room.request("find").then(({ id }) => id);
// @ts-expect-error an answer is missing
room.handle("who", () => {});
// @ts-expect-error the answer is a number
room.handle("add", async () => "3");

// Names of the protocol are reserved, with an event map and without one.
// @ts-expect-error a reserved name
connect<{ join: string; chat: string }>("/ws", { codec: "json" });
// @ts-expect-error a reserved name
connect<{ close: Uint8Array }>("/ws");
// @ts-expect-error a reserved name
connect<{ open: string }>("/ws", { codec: "text" });
// @ts-expect-error a reserved name
connect<{ "roomer:x": string }>("/ws", { codec: "json" });
// @ts-expect-error a reserved name
core.connect<{ leave: string }>("/ws", { codec: core.json });
// @ts-expect-error a request has a single payload
connect<{ add: (a: number, b: number) => number }>("/ws", { codec: "json" });
declare const client: Client<Calls>;
// @ts-expect-error a reserved name
client.join<{ member_left: string }>("lobby");
// @ts-expect-error a reserved name
client.join<{ member_left: string }>("lobby", { codec: "json" });
const loose = connect("/ws", { codec: "json" }).root;
loose.on("close", (error) => error?.code);
loose.send("closed", 5);
// @ts-expect-error a reserved name
loose.send("close", 5);
// @ts-expect-error a reserved name
loose.on("join", () => {});
// @ts-expect-error a reserved name
loose.request("roomer:x", 5);
// @ts-expect-error a reserved name
loose.messages("new_member");
declare const variable: string;
loose.send(variable, 5);
loose.on(variable, (payload) => payload);
loose.request(variable, 5).then((answer) => answer);

export function Component() {
    const own = useRoom<Calls>("lobby");
    useEvent(own, "chat", ({ text }) => text);
    useEvent(room, "any", () => {});
    // @ts-expect-error a request
    useEvent(own, "add", () => {});
    // @ts-expect-error a reserved name
    useRoom<{ close: string }>("lobby");
}

// Functions that are generic over the event map.
export function ask<E, K extends keyof E & string>(given: Room<E>, event: K, payload: Question<E[K]>): Promise<Answer<E, K>> {
    return given.request(event, payload);
}
export function answer<E, K extends keyof E & string>(given: Room<E>, event: K, handler: (payload: Question<E[K]>) => MaybePromise<Result<E, K>>): void {
    given.handle(event, handler);
}
export function open<E>(): Client<E> {
    return connect<E>("/ws", { codec: "json" });
}
export function openCore<E>(): Client<E> {
    return core.connect<E>("/ws", { codec: core.json });
}
export function enter<E>(given: Client<E>): Room<E> {
    given.join<Calls>("calls").request("who");
    return given.join("lobby", { history: 5 });
}
export class Chat<E extends { chat: { text: string }; who: () => string }> {
    constructor(private readonly given: Room<E>) {}
    listen(listener: (payload: E["chat"]) => void): void {
        this.given.on("chat", listener);
        this.given.on("chat", ({ text }) => text.length);
    }
    say(payload: E["chat"]): void {
        this.given.send("chat", payload);
    }
    async read(): Promise<string | undefined> {
        for await (const { payload } of this.given.messages("chat")) {
            return payload.text;
        }
        return undefined;
    }
}
new Chat(room).listen(({ text }) => text);
ask(room, "add", [1, 2]).then((sum) => sum.toFixed());
// @ts-expect-error a number is missing
ask(room, "add", [1]);
