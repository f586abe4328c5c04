/** Client bugs that the conformance kit must detect.
 *
 * Each bug changes the bytes that a WebSocket sends or receives. The environment variable `ROOMER_BUG` selects one.
 */

import { decodePacket, encodePacket } from "./packets.js";

const isAck = ({ event }) => event === "roomer:ack";
const isMessage = ({ event }) => event === "chat";
const countOf = ({ payload }) => Number(payload.toString());
const withCount = (packet, count) => ({ ...packet, payload: `${count}` });
/** The client's id, as sent by the server. */
let id;
let firstToken;
let presented;
let held;

/**
 * The bugs by name, each with the case that must detect it. `send` and `receive` take a packet and return its replacements;
 * `connect` changes the address, and `close` the close frame; `open` returns bytes to send immediately.
 */
export const BUGS = {
    "acknowledges one packet too few": { fails: "counts: a request for an acknowledgement is answered immediately", send: (packet) => [isAck(packet) && countOf(packet) > 2 ? withCount(packet, countOf(packet) - 1) : packet] },
    "acknowledges one packet too many": { fails: "counts: packets of every kind count", send: (packet) => [isAck(packet) ? withCount(packet, countOf(packet) + 1) : packet] },
    "never acknowledges": { fails: "counts: a single packet is acknowledged within 5 s", send: (packet) => (isAck(packet) ? [] : [packet]) },
    "writes counts with leading zeros": { fails: "counts: 64 packets are acknowledged immediately", send: (packet) => [isAck(packet) ? withCount(packet, `0${countOf(packet)}`) : packet] },
    "sends messages twice": { fails: "return: packets that the server has not handled are sent again, in order and once", send: (packet) => (isMessage(packet) ? [packet, packet] : [packet]) },
    "makes private messages public": { fails: "plain: messages to one client, in both directions", send: (packet) => [isMessage(packet) ? { ...packet, dst: "" } : packet] },
    "changes the order of messages": {
        fails: "plain: messages keep their order",
        send(packet) {
            if (isMessage(packet) && !held) {
                held = packet;
                return [];
            }
            const before = held;
            held = undefined;
            return before ? [packet, before] : [packet];
        }
    },
    "presents a token only once": {
        fails: "return: the application has closed the session, and the next socket is lost before the close frame",
        connect(url) {
            const token = /&session=[^&]*/.exec(url)?.[0];
            const isRepeated = token && token === presented;
            presented = token;
            return isRepeated ? url.replace(/&session=.*/, "") : url;
        }
    },
    "has no way back": { fails: "return: the session continues", connect: (url) => url.replace(/&session=.*/, "") },
    "returns with a wrong count": { fails: "return: the packets that the client has missed follow", connect: (url) => url.replace(/received=(\d+)/, (_, count) => `received=${+count + 1}`) },
    "returns with its first token": { fails: "return: counts continue across several returns", connect: (url) => url.replace(/session=([^&]*)/, (_, token) => `session=${(firstToken ??= token)}`) },
    "does not encode its token": { fails: "return: a token with characters that a query must encode", connect: (url) => decodeURIComponent(url).replaceAll(" ", "%20") },
    "sends before hello": { fails: "return: nothing is sent before hello", open: () => [{ room: "lobby", event: "join" }] },
    "does not ask for the extended protocol": { fails: "negotiation: hello is the first packet", connect: (url) => url.replace("roomer=2", "x=2") },
    "acknowledges to a plain server": { fails: "plain: a join, its acknowledgement and the members", open: () => [{ room: "root", event: "roomer:ack", payload: "0" }] },
    "believes forged acknowledgements": {
        fails: "plain: a forged join_ack",
        receive(packet) {
            const isAnswer = /_ack$/.test(packet.event);
            id ??= isAnswer ? packet.src : undefined;
            return [isAnswer ? { ...packet, src: id, dst: "" } : packet];
        }
    },
    "believes forged notices": { fails: "plain: forged notices", receive: (packet) => [/^(new_member|member_left)$/.test(packet.event) ? { ...packet, src: "", dst: "" } : packet] },
    "misses members that are away": { fails: "members: a member is away, changes meanwhile, and is back", receive: (packet) => (packet.event === "roomer:members" && packet.payload.includes("away") ? [] : [packet]) },
    "misses members that leave": { fails: "members: a member joins and leaves", receive: (packet) => (packet.event === "roomer:members" && packet.payload.includes("left") ? [] : [packet]) },
    "shows messages twice": { fails: "plain: messages to the room, in both directions", receive: (packet) => (isMessage(packet) ? [packet, packet] : [packet]) },
    "takes numbers for receivers": { fails: "history: messages with a number are messages to the room", receive: (packet) => [packet.dst.startsWith("#") ? { ...packet, dst: "x" } : packet] },
    "cuts payloads": { fails: "plain: payloads of 125 to 65,536 bytes", receive: (packet) => [{ ...packet, payload: packet.payload.subarray(0, 65_535) }] },
    "connects again after a final close": { fails: "endings: 4000", close: ({ reason }) => ({ code: 1006, reason }) },
    "ignores the server's hint": { fails: "endings: a server that shuts down says when to reconnect", close: ({ code }) => ({ code, reason: "" }) },
    "answers under another tag": { fails: "answers: a request from the server, and the client's answer", send: (packet) => [packet.event === "roomer:reply" ? { ...packet, dst: `${packet.dst}x` } : packet] },
    "uses one tag for all requests": { fails: "requests: answers in a different order", send: (packet) => [{ ...packet, dst: packet.dst.replace(/:.+/, ":1") }] },
    "forgets its position": { fails: "history: after a lost session", send: (packet) => [packet.event === "join" ? { ...packet, payload: packet.payload.toString().replace(/"at":.*?\],/, "") } : packet] },
    "sends text": { fails: "plain: an empty payload", text: true },
    "sends a byte too many": { fails: "plain: two rooms at a time", tail: Buffer.from([0]) }
};

/** Returns a socket class with the selected bug, or the unchanged class if none is selected. */
export function plant(WebSocket, bug = BUGS[process.env.ROOMER_BUG]) {
    if (!bug) {
        return WebSocket;
    }
    const { connect = (url) => url, send = (packet) => [packet], receive = (packet) => [packet], open = () => [], close = (event) => event, text, tail } = bug;
    return class extends WebSocket {
        constructor(url) {
            super(connect(url));
        }
        send(data) {
            for (const packet of send(decodePacket(data))) {
                const bytes = encodePacket(packet);
                super.send(text ? bytes.toString("latin1") : tail ? Buffer.concat([bytes, tail]) : bytes);
            }
        }
        set onopen(listener) {
            super.onopen = () => {
                open().forEach((packet) => super.send(encodePacket(packet)));
                listener();
            };
        }
        set onclose(listener) {
            super.onclose = (event) => listener(close(event));
        }
        set onmessage(listener) {
            super.onmessage = ({ data }) => {
                let packets;
                try {
                    packets = receive(decodePacket(data));
                } catch {
                    return listener({ data });
                }
                packets.forEach((packet) => listener({ data: new Uint8Array(encodePacket(packet)).buffer }));
            };
        }
    };
}
