/**
 * The server's side of one case: the connections of the client under test, its packets and their counts.
 *
 * @module link
 */

import { decode, encode, show } from "./packet.mjs";
import { listen } from "./socket.mjs";

const ACK = "roomer:ack";
const MOST_IDLE_ACKS = 64;

/**
 * @param {() => number} now the client's time, in milliseconds
 * @param {(why: string) => void} fail
 * @param {() => void} changed called when something has arrived
 */
export async function createLink(now, fail, changed) {
    /** Connection requests that the case has not accepted. */
    const requests = [];
    /** Client packets that the case has not expected yet. */
    const packets = [];
    const log = [];
    let socket;
    let pongs = 0;
    let id = "";
    let isExtended = false;
    /** True until the first packet on a socket, which determines the protocol. */
    let isNew = false;
    /** The rooms that the client is in. */
    const rooms = new Set();
    const session = { sent: 0, received: 0, acknowledged: 0, asked: 0, idle: 0, idleAt: 0 };
    const ended = { isOver: true, code: undefined };
    let isStalled = false;

    const note = (line) => log.push(line);

    const write = (packet, options) => {
        note(`server ${show(packet)}`);
        socket.send(encode(packet), options);
    };

    /** Sends a packet, and updates the counts and the rooms that it changes. */
    const send = (packet, options = {}) => {
        const { room, event, dst, src } = packet;
        write(packet, options);
        // After a message that stops in the middle, nothing else can be sent: its rest would have to come first.
        isStalled ||= options.limit !== undefined;
        if (isNew) {
            isNew = false;
            isExtended = event === "roomer:hello";
            if (!isExtended || !JSON.parse(packet.payload).resumed) {
                begin();
                id = src;
            }
        }
        if (!["roomer:hello", ACK].includes(event) && options.limit === undefined) {
            session.sent++;
        }
        if (src === id && !dst && event === "join_ack") {
            rooms.add(room);
        } else if (src === id && !dst && event === "leave_ack") {
            rooms.delete(room);
        }
    };

    const begin = () => {
        Object.assign(session, { sent: 0, received: 0, acknowledged: 0, asked: 0, idle: 0, idleAt: 0 });
        rooms.clear();
    };

    const acknowledge = (to = "") => send({ room: "root", event: ACK, dst: to, src: "", payload: Buffer.from(`${session.received}`) });

    /** Checks a client's acknowledgement. */
    const checkAck = ({ room, dst, payload }) => {
        const text = payload.toString();
        const count = Number(text);
        if (!isExtended) {
            return fail("the client sent roomer:ack to a plain server");
        }
        if (room !== "root" || !["", "?"].includes(dst) || !/^(0|[1-9]\d*)$/.test(text)) {
            return fail(`this is not an acknowledgement: ${show({ room, event: ACK, dst, src: "", payload })}`);
        }
        if (count < session.acknowledged || count > session.sent) {
            return fail(`the client acknowledges ${count}, after ${session.acknowledged}, of ${session.sent} packets`);
        }
        const time = now();
        const isIdle = count === session.acknowledged;
        session.idle = isIdle ? (time - session.idleAt < 1000 ? session.idle + 1 : 1) : 0;
        session.idleAt = time;
        if (session.idle > MOST_IDLE_ACKS) {
            return fail(`the client sent more than ${MOST_IDLE_ACKS} acknowledgements of nothing new`);
        }
        session.acknowledged = count;
        session.asked = Math.max(0, session.asked - 1);
        dst && acknowledge();
    };

    const received = (packet) => {
        const { room, event } = packet;
        note(`client ${show(packet)}`);
        if (event === ACK) {
            return checkAck(packet);
        }
        session.received++;
        session.idle = 0;
        if (event === "leave" && !rooms.has(room)) {
            // Clients may ask to leave rooms that they are not in, to find out what the server has handled.
            return send({ room, event: "leave_ack", dst: "", src: id, payload: Buffer.alloc(0) });
        }
        packets.push({ ...packet, number: session.received });
    };

    const listener = await listen((request) => {
        note(`client connects with ?${request.query}`);
        requests.push(request);
        changed();
    });

    return {
        url: listener.url,
        log,
        note,
        requests,
        packets,
        session,
        ended,
        send,
        get pongs() {
            return pongs;
        },
        get isOpen() {
            return !ended.isOver;
        },
        /** True if the socket is open but can no longer be used. */
        get isStalled() {
            return isStalled;
        },
        /** Stops reading and answering. */
        stall() {
            isStalled = true;
            socket.pause();
        },
        /** Accepts the oldest request. The old socket, if it is still open, is dropped. */
        accept() {
            const old = socket;
            isExtended = false;
            isNew = true;
            isStalled = false;
            Object.assign(ended, { isOver: false, code: undefined });
            const mine = (socket = requests.shift().accept({
                message(bytes, isText) {
                    let packet;
                    try {
                        packet = decode(bytes);
                    } catch (error) {
                        return fail(`the client sent a message that is not a packet: ${error.message}`);
                    }
                    if (mine !== socket) {
                        return fail("the client sent a packet on a socket that it has given up");
                    }
                    isText ? fail("the client sent a text message") : received(packet);
                    changed();
                },
                pong() {
                    pongs++;
                    changed();
                },
                ended(code) {
                    if (mine === socket) {
                        Object.assign(ended, { isOver: true, code });
                        note(`the socket has ended${code === undefined ? "" : `, after a close frame with ${code}`}`);
                    }
                    changed();
                },
                violated: (why) => fail(`the client sent ${why}`)
            }));
            old?.end();
        },
        sendBytes: (bytes) => {
            note(`server ${bytes.length} bytes that are not a packet`);
            session.sent++;
            socket.send(bytes);
        },
        ask() {
            session.asked++;
            acknowledge("?");
        },
        socket: () => socket,
        close() {
            listener.close();
            requests.forEach((request) => request.drop());
            socket?.end();
        }
    };
}
