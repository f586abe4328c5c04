/** Connects the client to the protocol's conformance kit (`roomer-proto/kit`).
 *
 * Reads commands and writes events, each as a line of JSON.
 */

import { createInterface } from "node:readline";

import { RoomerError, connect } from "../../src/index.js";
import { decode, encode } from "../../src/packet.js";
import { createClock } from "../../src/testkit/clock.js";
import { plant } from "./conformance-bugs.js";

const clock = createClock();
const write = (line) => console.log(JSON.stringify(line));
const tell = (on, details) => write({ on, ...details });
/** Reports an event of the current client. Events of earlier clients are ignored. */
const report = (of, ...args) => of === client && tell(...args);
const toHex = (bytes) => Buffer.from(bytes ?? "").toString("hex");
const toBytes = (hex) => new Uint8Array(Buffer.from(hex ?? "", "hex"));

let client;
let token;
let listen = [];
/** The rooms to which listeners have been added. */
const watched = new Set();

/** The requests received but not yet answered, by the names that the kit gives them. */
const open = new Map();
let requests = 0;

const membersOf = (room) => room.members().map((id) => room.member(id));

function watch(room, mine = client) {
    const { name } = room;
    const tell = (...args) => report(mine, ...args);
    if (watched.has(room)) {
        return;
    }
    watched.add(room);
    const joined = () => {
        name === "root" && tell("opened", { id: client.id, resumed: false });
        tell("joined", { room: name });
    };
    room.on("open", joined);
    room.on("reopen", joined);
    room.on("new_member", (id) => tell("member_joined", { room: name, id }));
    room.on("member_left", (id) => tell("member_left", { room: name, id }));
    room.on("member_changed", (id) => tell("member_changed", { room: name, id }));
    room.on("history_lost", () => tell("history_lost", { room: name }));
    room.on("close", (error) => {
        const kind = { refused: "refused", removed: "removed" }[error?.code] ?? (error ? undefined : "left");
        kind && tell(kind, { room: name });
    });
    for (const event of listen) {
        room.on(event, (payload, from, direct) => tell("message", { room: name, event, from, direct, hex: toHex(payload) }));
        room.handle(event, (payload, from) => new Promise((resolve, reject) => {
            const key = `r${++requests}`;
            open.set(key, { resolve, reject });
            tell("request", { key, room: name, event, from, hex: toHex(payload) });
        }));
    }
}

const commands = {
    sync() {},
    advance: ({ ms }) => clock.advance(ms),
    encode: ({ room, event, dst, src, hex }) => ({ hex: toHex(encode(room, event, dst, src, toBytes(hex))) }),
    decode({ hex }) {
        try {
            const { to, from, payload, ...names } = decode(toBytes(hex).buffer);
            return { ...names, dst: to, src: from, hex: toHex(payload) };
        } catch {
            return { malformed: true };
        }
    },
    connect({ url, timeout, listen: events, token: first }) {
        token = first;
        listen = events;
        client = connect(url, { clock, timeout, token: () => token, random: () => 0.5, lazy: true, WebSocket: plant(globalThis.WebSocket) });
        const mine = client;
        const tell = (...args) => report(mine, ...args);
        client.on("state", (state) => ["connecting", "suspended", "closed"].includes(state) && tell(state));
        client.on("resumed", () => tell("opened", { id: client.id, resumed: true }));
        client.on("room", (room) => watch(room, mine));
        client.on("direct", ({ room, event, from, payload }) => tell("message", { room, event, from, direct: true, hex: toHex(payload) }));
        client.on("lost", ({ room, event, to, payload }) => tell("lost", { room, event, to, hex: toHex(payload) }));
        client.on("error", ({ code, kind, room, event, more }) => code === "rejected" && tell("error", { code: kind, room, event, more }));
        watch(client.root);
        client.start();
    },
    join: ({ room, last }) => watch(client.join(room, last === undefined ? {} : { history: last })),
    ask({ key, room, event, to, hex, timeout }) {
        const mine = client;
        find(room).request(event, toBytes(hex), { to, timeout }).then(
            (payload) => report(mine, "answer", { key, hex: toHex(payload) }),
            ({ code, kind }) => report(mine, "failure", { key, code: code === "answer" ? kind : code })
        );
    },
    answer({ key, hex, code, message }) {
        const { resolve, reject } = open.get(key);
        code ? reject(new RoomerError(code, message)) : resolve(toBytes(hex));
    },
    info: ({ json }) => client.setInfo(json),
    leave: ({ room }) => void find(room).leave(),
    send: ({ room, event, to, hex }) => void find(room).send(event, toBytes(hex), to),
    members: ({ room: name }) => {
        const room = find(name);
        return { members: membersOf(room), count: room.count };
    },
    token: ({ token: next }) => void (token = next),
    close: () => client.close(),
    end() {
        const old = client;
        client = undefined;
        old?.close();
    }
};

const find = (name) => client.rooms().find((room) => room.name === name);

let before = Promise.resolve();
createInterface({ input: process.stdin }).on("line", (line) => {
    const { do: name, ...command } = JSON.parse(line);
    before = before.then(async () => {
        try {
            const result = await commands[name](command);
            // Report the command's effects before the next command is read.
            await clock.advance(0);
            tell("done", result);
        } catch (error) {
            tell("done", { error: error.message });
        }
    });
}).on("close", () => process.exit());

tell("ready", { name: "roomer for JavaScript", clock: true, again: true, lacks: [] });
