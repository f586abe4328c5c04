/** Code that must compile. */

import { connect, RoomerError } from "roomer";
import type { Address, Answer, Client, MaybePromise, Options, Question, RequestOptions, Result, Room, SendResult } from "roomer";
import roomer from "roomer/compat";
import * as core from "roomer/core";
import bytecursor from "roomer/bytecursor.js";
import emitter from "roomer/emitter.js";
import { createServer } from "roomer/testkit";

interface Events {
    chat: { text: string; at?: number };
    cursor: [x: number, y: number];
    typing: undefined;
}

const client: Client<Events> = connect<Events>("wss://example.org/ws", {
    codec: "json",
    token: async () => "secret",
    signal: new AbortController().signal,
    reconnect: { minDelay: 100, maxDelay: 1_000, minUptime: 5_000, retries: 7 },
    timeout: 5_000,
    heartbeat: false,
    isFinal: (code, reason) => code === 4000 && reason === "",
    queue: { messages: 10, bytes: 1_000 }
});

const lobby: Room<Events> = client.join("lobby");
const result: SendResult = lobby.send("chat", { text: "hello" });
lobby.send("chat", { text: "psst", at: 1 }, "id");
lobby.send("cursor", [1, 2]);
lobby.send("typing");
lobby.send("typing", undefined, "id");

const off: () => void = lobby.on("chat", ({ text, at }, from, direct) => console.log(text.length, at?.toFixed(), from.length, direct === true));
lobby.on("open", () => off(), { once: true });
lobby.on("close", (error) => error && console.log(error.code, error.closeCode?.toFixed()));
lobby.on("new_member", (id) => id.toUpperCase());
lobby.on("chat", async () => {});

async function read(): Promise<void> {
    const room: Room<Events> = await lobby.opened;
    for await (const { payload, event, from, direct, missed } of room.messages("cursor", { signal: new AbortController().signal, buffer: 5 })) {
        const [x, y]: [number, number] = payload;
        const name: "cursor" = event;
        console.log(x + y + missed, name, from.length, direct);
    }
    await room.leave();
}
read().catch((error: unknown) => {
    if (error instanceof RoomerError && error.code === "refused") {
        console.log(error.message);
    }
});

const ids: string[] = [...lobby.members(), ...lobby.memberSet];
console.log(result, ids.length, lobby.memberSet.has("id"), lobby.memberSet.size, lobby.state === "open");

client.on("state", (state, error) => console.log(state === "suspended", error?.code === "lost"));
client.on("overflow", ({ room, event, to }) => console.log(room, event, to?.length));
client.on("room", (room) => room.send("typing"));

// Functions that are generic over the event map, such as a hook, need neither a cast nor `any`.
function useEvent<E, K extends keyof E & string>(room: Room<E>, event: K, fn: (payload: E[K], from: string, direct: boolean) => unknown): () => void {
    return room.on(event, fn, { signal: new AbortController().signal });
}
function useSend<E, K extends keyof E & string>(room: Room<E>, event: K): (payload: E[K], to?: string) => SendResult {
    return (payload, to) => (to === undefined ? room.send(event, payload) : room.send(event, payload, to));
}
async function* useMessages<E, K extends keyof E & string>(room: Room<E>, event: K): AsyncGenerator<E[K]> {
    for await (const { payload } of room.messages(event)) {
        yield payload;
    }
}
function useAnyEvent<E>(room: Room<E>, events: (keyof E & string)[], fn: (event: string, payload: unknown) => void): (() => void)[] {
    return events.map((event) => room.on(event, (payload) => fn(event, payload)));
}
class Chat<E extends { chat: { text: string } }> {
    constructor(private readonly room: Room<E>) {}
    join(other: Client<E>): Room<E> {
        return other.join(this.room.name);
    }
    listen(fn: (payload: E["chat"]) => void): () => void {
        return this.room.on("chat", fn);
    }
}
function useRequest<E, K extends keyof E & string>(room: Room<E>, event: K): (payload: Question<E[K]>, options?: RequestOptions) => Promise<Answer<E, K>> {
    return (payload, options) => (options === undefined ? room.request(event, payload) : room.request(event, payload, options));
}
function useHandler<E, K extends keyof E & string>(room: Room<E>, event: K, fn: (payload: Question<E[K]>, from: string) => MaybePromise<Result<E, K>>): () => void {
    return room.handle(event, fn);
}
// Functions may pass on options, with or without an event map.
function connectAs(name: string, options: Options): Client {
    return connect(`/ws?name=${name}`, options);
}
function connectMaybe(url: Address, options?: Options): Client {
    return connect(url, options);
}
function connectWith<E>(url: Address, options?: Omit<Options, "codec">): Client<E> {
    return connect<E>(url, { ...options, codec: "json" });
}
function connectCore(options: core.CoreOptions): core.Client {
    return core.connect("/ws", options);
}
connectAs("ann", { codec: "json" }).root.on("chat", (payload: unknown) => payload);
connectMaybe("/ws", { codec: "text" }).root.send("chat", "hello");
connectWith<Events>("/ws", { lazy: true }).root.send("chat", { text: "hello" });
connectCore({ codec: core.json }).root.send("chat", { text: "hello" });
useEvent(lobby, "cursor", ([x, y], from, direct) => console.log(x + y, from.length, direct));
useSend(lobby, "chat")({ text: "hello" });
useSend(lobby, "typing")(undefined, "id");
useMessages(lobby, "chat").next().then(({ value }) => console.log(value));
useAnyEvent(lobby, ["chat", "typing"], console.log);
new Chat(lobby).join(client).on("chat", ({ text }) => text);

lobby.sent.then((isHandled: boolean) => console.log(isHandled));
client.on("resumed", (milliseconds) => console.log(milliseconds.toFixed()));
const test = createServer({ plain: true, resumeWindow: 1_000, resumeBuffer: 100, retryWindow: 0 });
test.expire();
test.connections().forEach((conn) => conn.isConnected && (conn.hang(), conn.cut(), conn.expire()));

client.on("lost", ({ room, event, to, reason }) => console.log(room, event, to?.length, reason === "unconfirmed"));
client.on("direct", ({ room, event, from }) => console.log(room, event, from.length));
connect("/ws", { lazy: true, tokenIn: "protocol", token: null, debug: ({ what, room, bytes }) => console.log(what, room, bytes) }).start();
const size: number = lobby.count;
console.log(size);

// In the event map, requests are functions.
interface Calls {
    chat: { text: string };
    add: (numbers: [a: number, b: number]) => number;
    rename: (name: string) => Promise<void>;
    who: () => { name: string };
}
const calls = connect<Calls>("/ws", { codec: "json" });
const table: Room<Calls> = calls.join("table", { history: 20 });
async function ask(): Promise<number> {
    const sum: number = await table.request("add", [1, 2]);
    await table.request("rename", "Ann", { to: "id", timeout: 1_000, signal: new AbortController().signal });
    const { name }: { name: string } = await table.request("who");
    await useRequest(table, "add")([1, 2], { to: "id" }).then((answer: number) => answer);
    useHandler(table, "add", async ([a, b]) => a + b)();
    const undo: () => void = table.handle("add", ([a, b], from) => a + b + from.length);
    table.handle("who", async () => ({ name }));
    table.handle("rename", async (given) => {
        throw new RoomerError("taken", given);
    });
    undo();
    return sum;
}
ask().catch((error: RoomerError) => console.log(error.code === "answer" && error.kind === "taken"));
connect("/ws").root.request("x", new Uint8Array(1), { to: "id" }).then((answer: Uint8Array) => answer.byteLength);
connect("/ws").root.handle("x", (payload) => payload.subarray(1));
connect("/ws", { codec: "text" }).root.request("x", "y").then((answer: string) => answer.length);
connect("/ws", { codec: "json" }).root.request("x").then((answer: unknown) => answer);

// Info of members, a room's history, errors, and the smaller client.
const { info, user } = table.member("id") ?? {};
console.log(info?.name, user?.length, table.history?.number.toFixed(), table.history?.recovered === true);
table.on("member_changed", (id, member) => console.log(id === member.id, member.info, member.user?.length));
table.on("new_member", (id, { info: given }) => console.log(id, given));
table.on("history_lost", ({ epoch, number }) => console.log(epoch + number));
table.on("chat", ({ text }, from, direct, number) => console.log(text, from, direct, number?.toFixed()));
calls.setInfo({ name: "Ann" });
calls.on("error", ({ code, kind, room, event, remedy }) => console.log(code === "rejected", kind?.length, room, event, remedy));
const small: Client<Calls> = core.connect<Calls>("/ws", {
    codec: core.json,
    tokenIn: core.toProtocol,
    features: [core.sessions, core.requests, core.history, core.streams, core.ownInfo, core.rejections, core.renewal, core.receipts, core.directs, core.tracing]
});
core.connect("/ws").root.on("data", (payload) => payload.byteLength);
console.log(small.id);

// Rooms with their own event map or codec.
client.join<{ move: { from: string; to: string } }>("game").send("move", { from: "e2", to: "e4" });
client.join("notes", { codec: "text" }).send("note", "text");
client.join("files", { codec: "bytes" }).on("chunk", (bytes) => bytes.byteLength);

// Without an event map, each event has the codec's payload type.
const bytes = connect(new URL("wss://example.org/ws"));
bytes.root.send("data", new Uint8Array(1));
bytes.root.send("data", new ArrayBuffer(1));
bytes.root.send("data", new Float32Array(1));
bytes.root.send("data", "text");
bytes.root.send("data");
bytes.root.on("data", (payload) => payload.byteLength);
connect("/ws", { codec: "text" }).root.on("data", (payload) => payload.length);
connect(() => "/ws", { codec: "json" }).root.on("data", (payload: unknown) => payload);
connect<{ data: Uint8Array }>("/ws").root.on("data", (payload) => payload.byteLength);
connect<{ at: Date }>("/ws", { codec: { encode: (date: Date) => new Uint8Array([date.getTime()]), decode: (raw) => new Date(raw[0]!) } })
    .root.on("at", (date) => date.toISOString());

// The types of the test kit and of the original client are compatible.
const server = createServer({ latency: 5, messageRate: { perSecond: 10 }, joinRate: { perSecond: 1, burst: 5 }, presence: (room) => (room === "big" ? "count" : "full") });
connect("ws://test/ws", { ...server.options, codec: "json" });
server.handle("chat", (conn, { room, text }) => conn.sendToRoom(room, "chat", text()));
server.allow({ join: (conn, room) => conn.token !== "" && room !== "vip", connect: (url, token) => url !== token });
server.allow({ connect: () => ({ info: { name: "Ann" }, user: "ann" }), setInfo: (conn, value) => conn.info !== value.name, renew: ({ user }, token) => user === token });
server.handle("save", async () => {});
server.allowErrors();
server.errors().map(String);
createServer({ maxMessage: 100, byteRate: { perSecond: 10, burst: 100 }, maxName: 10, maxRooms: 2 });
server.onRequest("add", async (conn, message) => message.json()[0] + conn.id.length);
server.connections()[0]?.request("lobby", "sure", { x: 1 }, { timeout: 5 }).then((answer) => answer.json());
server.connections().forEach((conn) => (conn.expiring(60_000), conn.setInfo(null)));
createServer({ history: (room) => (room === "lobby" ? 100 : 0) }).forget("lobby");
server.sleep(70_000).then(() => server.connections()[0]?.move("lobby", "table"));
server.advance(1_000).then(() => server.connections()[0]?.close(1008));

const root = roomer("wss://example.org/ws");
root.on("open", () => root.join("lobby").send("chat", { any: "thing" }, "id").leave());
root.purge().rooms().lobby?.clearListeners(["chat"]).forceClose().clearListeners();
console.log(bytecursor(new ArrayBuffer(8)).writeUint8(1).skip(2).getBytes(3).length, emitter({ x: 1 }).on("y", () => {}).x);
