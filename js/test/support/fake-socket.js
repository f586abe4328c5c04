/**
 * A stand-in for WebSocket: tests play the server.
 */

import roomer from "../../src/compat/roomer.js";
import { decodePacket, encodePacket } from "./packets.js";

/** Looks like a WebSocket to the client. */
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

    /** The packets that the client has sent since the last call. */
    takePackets() {
        return this.sent.splice(0).map(decodePacket);
    }

    /** The server accepts. */
    accept() {
        this.readyState = 1;
        this.onopen?.({});
    }

    /** The server sends raw bytes. */
    receiveBytes(bytes) {
        this.onmessage({ data: new Uint8Array(bytes).buffer });
    }

    /** The server sends a packet. */
    receive(packet) {
        this.receiveBytes(encodePacket(packet));
    }

    /** The server lets the client into a room. */
    joinAck(room, id, members = [id]) {
        this.receive({ room, event: "join_ack", src: id, payload: JSON.stringify(members) });
    }

    /** The server lets the client out of a room. */
    leaveAck(room, id) {
        this.receive({ room, event: "leave_ack", src: id, payload: id });
    }

    /** The connection ends. */
    end(event = "close") {
        this.readyState = 3;
        this[`on${event}`]({});
    }
}

/** Runs `action` with another global WebSocket (or none, if undefined) and puts the real one back. */
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

/** A client on a stand-in socket, still connecting. */
export function connecting() {
    const root = withWebSocket(FakeSocket, () => roomer("ws://stand-in/ws"));
    return { root, socket: FakeSocket.latest };
}

/** A connected client on a stand-in socket, with root open and its id "me". */
export function connected() {
    const { root, socket } = connecting();
    socket.accept();
    socket.joinAck("root", "me");
    return { root, socket };
}

/** A client on a stand-in socket, connected and in a room. */
export function inRoom(name, members = ["me"]) {
    const { root, socket } = connected();
    const room = root.join(name);
    socket.joinAck(name, "me", members);
    socket.takePackets();
    return { root, socket, room };
}

/** Collects the events of a room, as arrays [event, ...arguments], into one list. */
export function record(room, ...events) {
    const log = [];
    for (const event of events) {
        room.on(event, (...args) => log.push([event, ...args]));
    }
    return log;
}
