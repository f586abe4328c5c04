/** Custom codecs: payloads have the types that they encode and decode. */

import { connect } from "roomer";
import type { Client, Codec, Options, Room } from "roomer";
import * as core from "roomer/core";

// The types come from plain functions, from declared codecs, or from classes.
const numbers = connect("/ws", { codec: { encode: (value: number) => new Uint8Array([value]), decode: (bytes) => bytes[0]! } });
numbers.root.on("n", (payload) => payload.toFixed());
numbers.root.send("n", 5);
numbers.join("more").send("n", 5);
numbers.root.request("n", 5).then((payload) => payload.toFixed());
class Dates implements Codec<Date, Date> {
    encode = (date: Date) => new Uint8Array([date.getTime()]);
    decode = (bytes: Uint8Array) => new Date(bytes[0]!);
}
class Methods {
    encode(date: Date): Uint8Array {
        return new Uint8Array([date.getTime()]);
    }
    decode(bytes: Uint8Array): Date {
        return new Date(bytes[0]!);
    }
}
const dates = connect("/ws", { codec: new Dates() });
dates.root.on("d", (payload) => payload.toISOString());
connect("/ws", { codec: new Methods() }).root.on("d", (payload) => payload.toISOString());
const room = connect("/ws").join("numbers", { codec: { encode: (value: string | number) => new Uint8Array([Number(value)]), decode: (bytes): number => bytes.length } });
room.on("n", (payload) => payload.toFixed());
core.connect("/ws", { codec: core.text }).root.on("t", (payload) => payload.length);
core.connect("/ws", { codec: core.bytes }).root.on("b", (payload) => payload.byteLength);
core.connect("/ws", { codec: core.bytes }).root.send("b", "text");
core.connect("/ws", { codec: core.json }).root.on("j", (payload: unknown) => payload);
core.connect<{ t: string }>("/ws", { codec: core.text }).root.send("t", "x");
core.connect("/ws").join("x", { codec: core.text }).send("t", "x");

// A codec may have any type, such as that of an encoder from a package.
declare const packed: { encode: (value: unknown) => Uint8Array; decode: (bytes: Uint8Array) => unknown };
declare const loose: { encode(value: any): Uint8Array; decode(bytes: Uint8Array): any };
declare const codec: Codec;
declare const options: Options;
interface Events {
    chat: { text: string };
    at: Date;
    add: (n: number) => string;
}
for (const each of [packed, loose, codec]) {
    connect("/ws", { codec: each }).root.on("x", (payload: unknown) => payload);
    connect("/ws", { codec: each }).root.send("x", { any: "thing" });
    connect<Events>("/ws", { ...options, codec: each }).root.send("at", new Date());
    connect("/ws").join<Events>("x", { codec: each }).on("chat", ({ text }) => text);
}
// @ts-expect-error unknown payloads must be narrowed first
connect("/ws", { codec: loose }).root.on("x", (payload) => payload.text);
export const typed: Client<Events> = connect<Events>("/ws", { codec: packed });
export function open<E>(): Client<E> {
    return connect<E>("/ws", { codec });
}

// With an event map, the codec encodes all of its payloads.
connect<{ at: Date; until: Date | undefined; later: (date: Date) => Date }>("/ws", { codec: { encode: (date) => new Uint8Array([date.getTime()]), decode: (bytes) => new Date(bytes[0]!) } });
connect<{ typing: undefined }>("/ws", { codec: new Dates() });
// @ts-expect-error objects and strings are not dates
connect<Events>("/ws", { codec: new Dates() });
// @ts-expect-error objects are not text
core.connect<Events>("/ws", { codec: core.text });

// @ts-expect-error a string is not a number
numbers.root.send("n", "5");
// @ts-expect-error a number has no length
numbers.root.on("n", (payload) => payload.length);
// @ts-expect-error a string is not a date
dates.root.send("d", "today");
// @ts-expect-error the room's payloads are dates
export const other: Room<{ d: string }> = dates.root;
// @ts-expect-error encode() returns bytes
connect("/ws", { codec: { encode: JSON.stringify, decode: JSON.parse } });
// @ts-expect-error encode() does not return a promise
connect("/ws", { codec: { encode: async (value: number) => new Uint8Array([value]), decode: (bytes) => bytes.length } });
// @ts-expect-error decode() is missing
connect("/ws", { codec: { encode: (value: number) => new Uint8Array([value]) } });
// @ts-expect-error decode() takes bytes
connect("/ws", { codec: { encode: (value: number) => new Uint8Array([value]), decode: (text: string) => text.length } });
