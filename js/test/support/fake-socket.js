/** A fake WebSocket: the test plays the server. */

import roomer from "../../src/compat/roomer.js";
import { decodePacket, encodePacket } from "./packets.js";

/** Implements the part of WebSocket that the client uses. */
export class FakeSocket {
    constructor(url) {
        if (!/^wss?:/.test(url)) {
            throw new SyntaxError(`not a WebSocket address: ${url}`);
        }
        this.url = url;
        this.readyState = 0;
        this.binaryType = "blob";
        this.sent = [];
        FakeSocket.latest = this;
    }

    send(data) {
        if (this.readyState !== 1) {
            throw new Error("send() on a socket that is not open");
        }
        this.sent.push(data);
    }

    /** Returns the packets that the client has sent since the last call. */
    takePackets() {
        return this.sent.splice(0).map(decodePacket);
    }

    /** Accepts the connection. */
    accept() {
        this.readyState = 1;
        this.onopen?.({});
    }

    /** Delivers raw bytes to the client. */
    receiveBytes(bytes) {
        this.onmessage({ data: new Uint8Array(bytes).buffer });
    }

    /** Delivers a packet to the client. */
    receive(packet) {
        this.receiveBytes(encodePacket(packet));
    }

    /** Confirms a join. */
    joinAck(room, id, members = [id]) {
        this.receive({ room, event: "join_ack", src: id, payload: JSON.stringify(members) });
    }

    /** Confirms a leave. */
    leaveAck(room, id) {
        this.receive({ room, event: "leave_ack", src: id, payload: id });
    }

    /** Ends the connection. */
    end(event = "close") {
        this.readyState = 3;
        this[`on${event}`]({});
    }
}

/** Runs `action` with another global WebSocket, or with none if `Socket` is undefined, and then restores the original. */
export function withWebSocket(Socket, action) {
    const before = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    Object.defineProperty(globalThis, "WebSocket", { value: Socket, configurable: true, writable: true });
    try {
        return action();
    } finally {
        if (before) {
            Object.defineProperty(globalThis, "WebSocket", before);
        } else {
            delete globalThis.WebSocket;
        }
    }
}

/** Returns a client whose fake socket is still connecting. */
export function connecting() {
    const root = withWebSocket(FakeSocket, () => roomer("ws://stand-in/ws"));
    return { root, socket: FakeSocket.latest };
}

/** Returns a client whose fake socket is connected, with `root` open and the id "me". */
export function connected() {
    const { root, socket } = connecting();
    socket.accept();
    socket.joinAck("root", "me");
    return { root, socket };
}

/** Returns a client whose fake socket is connected, and which is in a room. */
export function inRoom(name, members = ["me"]) {
    const { root, socket } = connected();
    const room = root.join(name);
    socket.joinAck(name, "me", members);
    socket.takePackets();
    return { root, socket, room };
}

/** Records these events of a room in a list, as arrays [event, ...arguments]. */
export function record(room, ...events) {
    const log = [];
    for (const event of events) {
        room.on(event, (...args) => log.push([event, ...args]));
    }
    return log;
}
