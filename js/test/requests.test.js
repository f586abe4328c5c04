/** Tests of requests: each receives one answer, or fails with a reason. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { RoomerError } from "../src/index.js";
import { encode, toBytes } from "../src/packet.js";
import { code, follow, reason, setUp } from "./support/kit.js";
import { connOf, enter } from "./support/session.js";

describe("a request to the server", () => {
    test("is answered, in the codec of the room, in any order", async () => {
        const { server, room } = await enter();
        let release;
        server.onRequest("slow", (conn, message) => new Promise((resolve) => (release = () => resolve({ id: conn.id, ...message.json() }))));
        server.onRequest("double", (conn, message) => message.json() * 2);
        server.onRequest("nothing", () => undefined);
        const [slow, double, nothing] = [room.request("slow", { n: 1 }), room.request("double", 21), room.request("nothing")].map(follow);
        await server.advance(100);
        assert.deepEqual([slow, double, nothing], [{}, { value: 42 }, { value: undefined }]);
        release();
        await server.advance(100);
        assert.deepEqual(slow, { value: { id: room.id, n: 1 } });
    });

    test("reaches neither message handlers nor members", async () => {
        const { server, room, other } = await enter(2);
        const heard = [];
        server.handle("add", () => heard.push("handler"));
        server.onRequest("add", () => 1);
        other.room.on("add", () => heard.push("member"));
        room.on("add", () => heard.push("self"));
        const asked = follow(room.request("add", 1));
        await server.advance(100);
        assert.deepEqual([asked, heard], [{ value: 1 }, []]);
    });

    test("fails with the kind that the server gives", async () => {
        const { server, room, errors } = await enter();
        server.allowErrors();
        server.onRequest("taken", () => {
            throw new RoomerError("taken", "that name is taken");
        });
        server.onRequest("broken", async () => {
            throw new Error("secret");
        });
        const asked = [room.request("taken"), room.request("broken"), room.request("nonsense")].map(follow);
        await server.advance(100);
        assert.deepEqual(asked.map(reason), ["taken", "failed", "unknown"].map((kind) => ["RoomerError", "answer", kind]));
        assert.equal(asked[0].error.message, "answer: taken: that name is taken");
        assert.doesNotMatch(asked[1].error.message, /secret/);
        assert.deepEqual(errors, []);
    });

    test("from outside the room may be refused", async () => {
        const { server, client } = await enter();
        server.allow({ join: () => false });
        const refused = client.join("vip");
        const inVip = follow(refused.request("wait", 1));
        await server.advance(1_000);
        assert.deepEqual(reason(inVip), ["RoomerError", "closed", undefined]);
        assert.equal(inVip.error.cause.code, "refused");
    });
});

describe("a request to a member", () => {
    test("is answered by its handler, which gets payload and sender", async () => {
        const { server, room, client, other } = await enter(2);
        const seen = [];
        other.room.on("where", (...args) => seen.push(["event", ...args]));
        const off = other.room.handle("where", (payload, from) => {
            seen.push([payload, from]);
            return { x: 1 };
        });
        const asked = follow(room.request("where", { of: "you" }, { to: other.room.id }));
        await server.advance(100);
        assert.deepEqual([asked, seen], [{ value: { x: 1 } }, [[{ of: "you" }, client.id]]]);
        off();
        off();
        const again = follow(room.request("where", 1, { to: other.room.id }));
        await server.advance(100);
        assert.deepEqual(reason(again), ["RoomerError", "answer", "unknown"]);
        other.room.handle("where", async () => "there is room for another handler");
    });

    test("fails with its handler's RoomerError, and hides other errors", async () => {
        const { server, room, other } = await enter(2);
        other.room.handle("taken", () => {
            throw new RoomerError("taken", "that name is taken");
        });
        other.room.handle("broken", async () => {
            throw new Error("secret");
        });
        other.room.handle("forward", (payload) => other.room.request("taken", payload, { to: other.client.id }));
        const asked = ["taken", "broken", "forward"].map((event) => follow(room.request(event, 1, { to: other.room.id })));
        await server.advance(1_000);
        assert.deepEqual(asked.map(reason), ["taken", "failed", "taken"].map((kind) => ["RoomerError", "answer", kind]));
        assert.doesNotMatch(asked[1].error.message, /secret/);
        assert.deepEqual(other.errors.map((error) => [error.code, error.cause.message]), [["listener", "secret"]]);
    });

    test("fails if the payload or the answer cannot be decoded", async () => {
        const { server, room, client, other } = await enter(2);
        other.room.handle("x", () => 1);
        const raw = client.join("raw", { codec: "text" });
        other.client.join("raw").handle("x", () => "not read");
        const odd = other.client.join("odd", { codec: "text" });
        odd.handle("x", () => "{");
        const asked = [raw.request("x", "{", { to: other.room.id }), client.join("odd").request("x", 1, { to: other.room.id })].map(follow);
        await server.advance(1_000);
        assert.deepEqual(asked.map(reason), [["RoomerError", "answer", "invalid"], ["RoomerError", "payload", undefined]]);
    });

    test("fails if the member leaves, is plain or not in the room", async () => {
        const { kit, server, room, other } = await enter(2);
        other.room.handle("wait", () => new Promise(() => {}));
        const plain = kit.connect({ WebSocket: class extends server.options.WebSocket {
            constructor(url, protocols) {
                super(url.replace("roomer=2", ""), protocols);
            }
        } });
        await server.advance(100);
        const asked = [other.room.id, "00000000-0000-4000-8000-999999999999", plain.client.id].map((to) => follow(room.request("wait", 1, { to })));
        const elsewhere = follow(room.request("nothing", 1, { to: other.room.id }));
        await server.advance(100);
        assert.deepEqual([...asked, elsewhere].map(reason).map((each) => each?.[2]), [undefined, "gone", "plain", "unknown"]);
        other.client.close();
        await server.advance(100);
        assert.deepEqual(reason(asked[0]), ["RoomerError", "answer", "gone"]);
    });

    test("may come from the server", async () => {
        const world = await enter();
        const { server, room, client } = world;
        const conn = connOf(world, client);
        room.handle("sure", (payload, from) => `${payload}${from} yes`);
        room.handle("no", () => {
            throw new RoomerError("no", "never");
        });
        const asked = [conn.request("lobby", "sure", '"?"'), conn.request("lobby", "no"), conn.request("lobby", "other"), conn.request("lobby", "sure", "{", { timeout: 5 })].map(follow);
        await server.advance(100);
        assert.equal(asked[0].value.json(), "? yes");
        assert.deepEqual(asked.slice(1).map(reason).map((each) => each.slice(1)), [["answer", "no"], ["answer", "unknown"], ["timeout", undefined]]);
        const last = follow(conn.request("lobby", "sure"));
        client.close();
        await server.advance(100);
        const after = follow(conn.request("lobby", "sure"));
        await server.advance(100);
        assert.deepEqual([reason(last), reason(after)], [["RoomerError", "answer", "gone"], ["RoomerError", "answer", "gone"]]);
    });
});

describe("a request without an answer", () => {
    test("times out after 10 s or its own timeout", async () => {
        const { server, room, errors } = await enter();
        const answers = [];
        server.onRequest("wait", () => new Promise((resolve) => answers.push(resolve)));
        const asked = [room.request("wait"), room.request("wait", 1, { timeout: 500 }), room.request("wait", 1, { timeout: Infinity })].map(follow);
        await server.advance(499);
        assert.deepEqual(asked.map(reason), [undefined, undefined, undefined]);
        await server.advance(1);
        assert.deepEqual(asked.map(reason), [undefined, ["RoomerError", "timeout", undefined], undefined]);
        await server.advance(9_500);
        assert.deepEqual(asked.map(reason), [["RoomerError", "timeout", undefined], ["RoomerError", "timeout", undefined], undefined]);
        answers.forEach((answer) => answer(7));
        await server.advance(100);
        assert.deepEqual([asked[2], asked[0].value, errors], [{ value: 7 }, undefined, []]);
    });

    test("ends with its signal", async () => {
        const { server, room, wire } = await enter();
        server.onRequest("wait", () => new Promise(() => {}));
        const controller = new AbortController();
        const asked = follow(room.request("wait", 1, { signal: controller.signal }));
        await server.advance(100);
        controller.abort("enough");
        const sent = wire.length;
        const late = follow(room.request("wait", 1, { signal: controller.signal }));
        await server.advance(100);
        for (const each of [asked, late]) {
            assert.deepEqual([reason(each), each.error.cause], [["RoomerError", "aborted", undefined], "enough"]);
        }
        assert.equal(wire.length, sent, "one that is aborted before is not sent");
    });

    test("fails when its room or the client closes", async () => {
        const { server, room, client } = await enter();
        server.onRequest("wait", () => new Promise(() => {}));
        const asked = follow(room.request("wait"));
        await server.advance(100);
        room.leave();
        await server.advance(100);
        assert.deepEqual(reason(asked), ["RoomerError", "closed", undefined]);
        const inRoot = follow(client.root.request("wait"));
        await server.advance(100);
        client.close();
        await server.advance(100);
        const after = follow(client.root.request("wait"));
        await server.advance();
        assert.deepEqual([inRoot, after].map(reason), [["RoomerError", "closed", undefined], ["RoomerError", "closed", undefined]]);
    });

    test("is rejected for wrong arguments", async () => {
        const { room } = await enter();
        for (const args of [["join"], ["roomer:x"], ["x", 1, { to: "" }], ["x", 1, { timeOut: 5 }], [5]]) {
            await assert.rejects(room.request(...args), code("argument"));
        }
        for (const args of [["x"], ["x", 5], ["join", () => {}], ["taken", () => {}]]) {
            args[0] === "taken" && room.handle("taken", () => {});
            assert.throws(() => room.handle(...args), code("argument"));
        }
    });
});

describe("a connection that is lost", () => {
    test("delays requests and answers, and runs handlers once", async () => {
        const { server, room, client, other, sockets } = await enter(2);
        const runs = [];
        other.room.handle("slow", async (payload) => {
            runs.push(payload);
            await new Promise((resolve) => server.clock.setTimeout(resolve, 200));
            return payload + 1;
        });
        const to = other.room.id;
        const before = follow(room.request("slow", 1, { to }));
        await server.advance(15);
        server.cut();
        const meanwhile = follow(room.request("slow", 2, { to }));
        await server.advance(5_000);
        assert.deepEqual([before, meanwhile, runs, client.state, sockets.length], [{ value: 2 }, { value: 3 }, [1, 2], "open", 2]);
    });

    test("with its session fails sent requests and keeps queued ones", async () => {
        const { server, room, client } = await enter();
        server.onRequest("wait", () => new Promise(() => {}));
        server.onRequest("echo", (conn, message) => message.payload);
        const lost = [];
        client.on("lost", (message) => lost.push(message));
        const sent = follow(room.request("wait"));
        await server.advance(10_000 - 100);
        const unconfirmed = follow(room.request("wait"));
        server.cut();
        server.expire();
        const waiting = follow(room.request("echo", "hi"));
        await server.advance(1_000);
        assert.deepEqual([sent, unconfirmed].map(reason).map(([, each]) => each), ["timeout", "unknown"]);
        assert.deepEqual([waiting, lost], [{ value: "hi" }, []]);
    });

    test("an answer is not sent in the next session", async () => {
        const { server, room, other, wire } = await enter(2);
        let release;
        room.handle("wait", () => new Promise((resolve) => (release = resolve)));
        const asked = follow(other.room.request("wait", 1, { to: room.id, timeout: 60_000 }));
        await server.advance(100);
        server.connections()[0].cut();
        server.expire();
        await server.advance(5_000);
        release(1);
        await server.advance(100);
        assert.deepEqual([reason(asked), wire.filter(([, , event]) => event === "roomer:reply")], [["RoomerError", "answer", "gone"], []]);
    });

    test("an answer that waits for the connection ends with the session", async () => {
        const { server, room, other, wire } = await enter(2);
        let release;
        room.handle("wait", () => new Promise((resolve) => (release = resolve)));
        const asked = follow(other.room.request("wait", 1, { to: room.id, timeout: 60_000 }));
        await server.advance(100);
        server.connections()[0].cut();
        release(5);
        await server.advance(5_000);
        assert.deepEqual([asked, wire.filter(([, , event]) => event === "roomer:reply").length], [{ value: 5 }, 1]);
    });
});

describe("room.sent, with a queued request that fails before it is sent", () => {
    /** Returns the result of `room.sent` for a request that `fail` makes fail. */
    const outcome = async (settings, options, fail) => {
        const kit = setUp({ latency: 10, ...settings });
        const { client } = kit.connect();
        const lobby = client.join("lobby");
        const lost = [];
        client.on("lost", (message) => lost.push(message));
        const asked = follow(lobby.request("x", 1, options));
        const seen = follow(lobby.sent);
        fail();
        await kit.server.advance(5_000);
        assert.deepEqual([await lobby.sent, lost], [true, []], "later messages do not depend on it");
        return [reason(asked)[1], seen];
    };

    test("is false after a timeout", async () => {
        assert.deepEqual(await outcome({ plain: false }, { timeout: 5 }, () => {}), ["timeout", { value: false }]);
    });

    test("is false after its signal has aborted", async () => {
        const controller = new AbortController();
        assert.deepEqual(await outcome({ plain: false }, { signal: controller.signal }, () => controller.abort()), ["aborted", { value: false }]);
    });

    test("is false on a plain server", async () => {
        assert.deepEqual(await outcome({ plain: true }, {}, () => {}), ["plain", { value: false }]);
    });
});

describe("without the extended protocol", () => {
    test("requests fail immediately, queued ones on connecting", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const lobby = client.join("lobby");
        const early = follow(lobby.request("x"));
        await kit.server.advance();
        assert.deepEqual(reason(early), ["RoomerError", "plain", undefined]);
        const asked = follow(lobby.request("x"));
        await null;
        assert.deepEqual(reason(asked), ["RoomerError", "plain", undefined]);
    });

    test("tagged receivers and answers are ordinary packets", async () => {
        const kit = setUp();
        const [a] = await kit.inRoom("lobby");
        const heard = [];
        a.room.on("x", (...args) => heard.push(args));
        a.room.handle("x", () => heard.push("handled"));
        const [conn] = kit.server.connections();
        conn.deliver(encode("lobby", "x", `${conn.id}:1`, "peer", toBytes("1")));
        conn.deliver(encode("lobby", "roomer:reply", `${conn.id}:1`, "peer", toBytes("1")));
        await kit.server.advance();
        assert.deepEqual(heard, [[1, "peer", true]]);
    });
});
