/** Tests of messages that exceed the size limit, which a server with sessions announces in its first packet. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { RoomerError } from "../src/index.js";
import { decode, encode, toBytes, toText } from "../src/packet.js";
import { code, record, setUp } from "./support/kit.js";

const MOST = 1_000;
const LARGE = "x".repeat(MOST);

/**
 * Starts a server that accepts packets of at most MOST bytes, announces that limit, and closes with 1009 after a larger packet.
 */
function limited() {
    const kit = setUp({ plain: false, latency: 10 });
    const announce = ({ data }) => {
        const { room, event, to, from, payload } = decode(data);
        if (event !== "roomer:hello") {
            return { data };
        }
        const hello = JSON.parse(toText(payload));
        hello.limits.message = MOST;
        return { data: encode(room, event, to, from, toBytes(JSON.stringify(hello))).buffer };
    };
    class Limited extends kit.server.options.WebSocket {
        constructor(...args) {
            super(...args);
            let deliver;
            Object.defineProperty(this, "onmessage", { get: () => (event) => deliver(announce(event)), set: (listener) => (deliver = listener) });
        }
        send(data) {
            data.length > MOST ? this.close(1009) : super.send(data);
        }
    }
    return { ...kit, connect: (options) => kit.connect({ WebSocket: Limited, ...options }) };
}

/** Connects two clients to a server with a low limit. Both join the room "lobby". */
async function enter() {
    const kit = limited();
    const [ann, bob] = await kit.inRoom("lobby", 2);
    await kit.server.advance(1_000);
    return { ...kit, ann, bob, id: ann.client.id, heard: record(bob.room, "chat") };
}

const isTooLarge = (error) => code("argument")(error) && /"[\w:]+" has \d+ bytes, and the server accepts 1000$/.test(error.message);

describe("a message above the limit of the server", () => {
    test("that was queued may be answered with close()", async () => {
        const { server, connect } = limited();
        const { client, life } = connect();
        const room = client.join("lobby");
        client.on("lost", () => client.close());
        room.send("chat", LARGE);
        await server.advance(1_000);
        assert.deepEqual([client.state, life.at(-1)[1], server.connections()], ["closed", "closed", []]);
    });

    test("is refused by send(), and the session continues", async () => {
        const { server, ann, id, heard } = await enter();
        ann.room.send("chat", 1);
        assert.throws(() => ann.room.send("chat", LARGE), isTooLarge);
        ann.room.send("chat", 2);
        const { sent } = ann.room;
        await server.advance(1_000);
        assert.deepEqual([await sent, heard.map(([, payload]) => payload), ann.client.state, ann.client.id], [true, [1, 2], "open", id]);
    });

    test("may reach the limit exactly", async () => {
        const { server, ann, heard } = await enter();
        const { length } = encode("lobby", "chat", "", "", toBytes('""'));
        assert.equal(ann.room.send("chat", "x".repeat(MOST - length)), "sent");
        assert.throws(() => ann.room.send("chat", "x".repeat(MOST - length + 1)), isTooLarge);
        await server.advance(1_000);
        assert.deepEqual([heard.length, ann.client.state], [1, "open"]);
    });

    test("is refused while offline if the session may continue", async () => {
        const { server, ann } = await enter();
        server.cut();
        assert.throws(() => ann.room.send("chat", LARGE), isTooLarge);
    });

    test("is lost if it was queued before the limit was known", async () => {
        const kit = limited();
        const { client } = kit.connect();
        const [{ room: other }] = await kit.inRoom("lobby");
        const heard = record(other, "chat");
        const lobby = client.join("lobby");
        const lost = record(client, "lost");
        assert.deepEqual([1, LARGE, 2].map((payload) => lobby.send("chat", payload)), ["queued", "queued", "queued"]);
        const { sent } = lobby;
        await kit.server.advance(1_000);
        assert.deepEqual([await sent, heard.map(([, payload]) => payload), client.state], [false, [1, 2], "open"]);
        assert.deepEqual(lost, [["lost", { room: "lobby", event: "chat", payload: LARGE, to: undefined, reason: "too_large" }]]);
    });
});

describe("a request above the limit of the server", () => {
    test("fails, even if queued before the limit was known", async () => {
        const kit = limited();
        const { client } = kit.connect();
        const lost = record(client, "lost");
        const early = assert.rejects(client.root.request("add", LARGE), isTooLarge);
        await kit.server.advance(1_000);
        await early;
        await assert.rejects(client.root.request("add", LARGE), isTooLarge);
        await kit.server.advance(20_000);
        assert.deepEqual([lost, client.state], [[], "open"]);
    });
});

describe("other packets above the limit of the server", () => {
    test("an answer fails for the requester and is an error of its sender", async () => {
        const { server, ann, bob } = await enter();
        bob.room.handle("large", () => LARGE);
        bob.room.handle("thrown", () => {
            throw new RoomerError("taken", LARGE);
        });
        const { id } = bob.client;
        for (const event of ["large", "thrown"]) {
            const asked = assert.rejects(ann.room.request(event, 1, { to: id }), ({ code, kind }) => code === "answer" && kind === "failed");
            await server.advance(1_000);
            await asked;
        }
        assert.deepEqual(bob.errors.map((error) => [error.code, isTooLarge(error.cause)]), [["listener", true], ["listener", true]]);
        assert.deepEqual([bob.client.id, bob.client.state], [id, "open"]);
    });

    test("the error for an unknown request is bounded", async () => {
        const { server, ann, bob } = await enter();
        // JSON represents each of these characters with six characters.
        const event = "\u0001".repeat(500);
        const asked = assert.rejects(ann.room.request(event, 1, { to: bob.client.id }), ({ code, kind }) => code === "answer" && kind === "unknown");
        await server.advance(1_000);
        await asked;
        assert.deepEqual([bob.errors, bob.client.state], [[], "open"]);
    });

    test("info is refused by setInfo()", async () => {
        const { server, ann, id } = await enter();
        assert.throws(() => ann.client.setInfo(LARGE), code("argument"));
        await server.advance(1_000);
        assert.deepEqual([ann.client.id, ann.client.state], [id, "open"]);
        server.cut();
        server.expire();
        await server.advance(5_000);
        assert.deepEqual([ann.errors, ann.client.state], [[], "open"]);
    });

    test("a token is an error", async () => {
        const kit = limited();
        let token = "short";
        const { client, errors } = kit.connect({ token: () => token });
        await kit.server.advance(1_000);
        token = LARGE;
        kit.server.connections()[0].expiring(60_000);
        await kit.server.advance(1_000);
        assert.deepEqual([errors.map(({ code }) => code), client.state], [["token"], "open"]);
    });
});

test("a server without sessions announces no limit", async () => {
    const kit = setUp();
    const [{ room }] = await kit.inRoom("lobby");
    assert.equal(room.send("chat", "x".repeat(2 ** 19)), "sent");
});
