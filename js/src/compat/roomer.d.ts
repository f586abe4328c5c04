import type { Emitter } from "./emitter.js";

/** A decoded packet. */
export interface Packet {
    room: string;
    event: string;
    dst: string;
    src: string;
    payload: Uint8Array;
}

/** A room in the original client: a frozen object with an event emitter's methods. */
export interface Room extends Emitter {
    readonly name: string;
    open(): boolean;
    id(): string;
    members(): string[];
    join(name: string): Room;
    leave(): Room;
    send(event: string, payload?: unknown, dst?: string | null): Room;
    forceClose(): Room;
    clearListeners(keep?: string[]): Room;
    parse(packet: Packet): void;
}

/** The room "root", which also lists the other rooms. */
export interface Root extends Room {
    purge(): Root;
    rooms(): Readonly<Record<string, Room>>;
}

/** Connects like the original client: once, without reconnecting. The `connect()` in "roomer" reconnects. */
declare function roomer(url: string): Readonly<Root>;
export default roomer;
