/** Tests of expiring logins, and of packets that the server rejects. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode, toBytes } from "../src/packet.js";
import { connOf, enter } from "./support/session.js";

describe("a login that expires", () => {
    const login = async (token, renew = () => true) => {
        const world = await enter(1, { token });
        world.server.allow({ renew });
        return { ...world, conn: connOf(world, world.client) };
    };

    test("is renewed with a new token on each request of the server", async () => {
        let calls = 0;
        const seen = [];
        const { server, client, conn, errors, wire } = await login(async () => `token ${++calls}`, ({ id }, token) => !!seen.push([id, token]));
        for (let n = 0; n < 2; n++) {
            conn.expiring(60_000);
            await server.advance(100_000);
        }
        assert.deepEqual([seen, client.state, errors, conn.token], [[[client.id, "token 2"], [client.id, "token 3"]], "open", [], "token 3"]);
        assert.deepEqual(wire.filter(([, , event]) => event === "roomer:token"), [[0, "root", "roomer:token", "token 2"], [0, "root", "roomer:token", "token 3"]]);
    });

    test("is renewed at a limited rate", async () => {
        let calls = 0;
        const { server, client, conn, errors } = await login(async () => `token ${++calls}`, () => {
            server.clock.setTimeout(() => conn.expiring(40_000), 1);
            return true;
        });
        conn.expiring(40_000);
        await server.advance(100);
        assert.equal(calls, 2, "the first request is answered at once");
        await server.advance(20_000);
        assert.deepEqual([calls, client.state, errors], [12, "open", []]);
        // A waiting renewal ends with its session, since the next session has a new login.
        conn.cut();
        conn.expire();
        await server.advance(10_000);
        assert.deepEqual([calls, errors], [13, []]);
        const next = server.connections()[0];
        next.expiring(60_000);
        next.expiring(60_000);
        await server.advance(100);
        client.close();
        await server.advance(10_000);
        assert.deepEqual([calls, errors], [14, []]);
    });

    test("ends with the server's code if the token is invalid", async () => {
        const { server, client, conn } = await login("bad", () => false);
        let ended;
        client.on("state", (state, error) => (ended = [state, error.code, error.reason]));
        conn.expiring(1_000);
        await server.advance(1_100);
        assert.deepEqual(ended, ["closed", "ended", "login expired"]);
    });

    test("during a suspension is replaced through the token function", async () => {
        for (const plain of [true, false]) {
            let calls = 0;
            const { server, client, room, life } = await enter(1, { token: async () => `token ${++calls}`, settings: { plain } });
            const [conn] = server.connections();
            conn.expiring(60_000);
            await server.advance(0);
            // After its suspension, the client finds that its login has expired.
            conn.close(1008, "login expired");
            await server.sleep(3_600_000);
            await server.advance(2_000);
            assert.deepEqual([client.state, room.state, server.connections().map(({ token }) => token)], ["open", "open", [`token ${calls}`]]);
            assert.deepEqual(life.slice(-3).map(([, state, error]) => [state, error]), [["suspended", "lost"], ["connecting", undefined], ["open", undefined]]);
            client.close();
        }
    });

    test("is final without a token function or by isFinal", async () => {
        for (const options of [{}, { token: "fixed" }, { token: () => "new", isFinal: (code) => code === 1008 }]) {
            const { server, client } = await enter(1, options);
            server.connections()[0].close(1008, "login expired");
            await server.advance(60_000);
            assert.equal(client.state, "closed");
        }
        const { server, client } = await enter(1, { token: () => "new" });
        server.connections()[0].close(4000, "login expired");
        await server.advance(60_000);
        assert.equal(client.state, "closed", "a code of the application");
    });

    test("immediately backs off", async () => {
        const { server, client, life } = await enter(1, { token: () => "short", random: () => 0.9, settings: { latency: 0 } });
        let count = 0;
        for (const end = server.clock.now() + 300_000; server.clock.now() < end; await server.advance(100)) {
            server.connections().forEach((conn) => {
                count++;
                conn.close(1008, "login expired");
            });
        }
        assert.ok(count >= 8 && count < 20, `${count} connections in five minutes`);
        assert.notEqual(client.state, "closed", `${life.length}`);
    });

    test("without a replacement counts as rejected handshakes", async () => {
        const { server, client, life } = await enter(1, { token: () => "old", reconnect: { retries: 3 } });
        server.allow({ connect: () => false });
        server.connections()[0].close(1008, "login expired");
        await server.advance(600_000);
        assert.deepEqual([client.state, life.at(-1)[2], life.filter(([, state]) => state === "connecting").length], ["closed", "gave_up", 3]);
    });

    test("is an error without a new token", async () => {
        const isOver = new Error("the session is over");
        for (const [next, cause] of [[() => null], [async () => Promise.reject(isOver), isOver], [() => { throw isOver; }, isOver]]) {
            let token = () => "first";
            const { server, client, conn, errors, wire } = await login(() => token());
            const ends = [];
            client.on("state", (state, error) => error?.closeCode && ends.push([state, error.code, error.reason]));
            token = next;
            conn.expiring(1_000);
            await server.advance(900);
            assert.deepEqual([errors.map((error) => error.code), client.state, wire.filter(([, , event]) => event === "roomer:token")], [["token"], "open", []]);
            cause && assert.equal(errors[0].cause, cause);
            await server.advance(200);
            assert.deepEqual(ends, [["suspended", "lost", "login expired"]]);
            client.close();
        }
    });

    test("a fixed token is sent again, and a missing one is an error", async () => {
        for (const [token, expected] of [["fixed", [[0, "root", "roomer:token", "fixed"]]], [undefined, []]]) {
            const { server, conn, errors, wire } = await login(token);
            conn.expiring(1_000);
            await server.advance(500);
            assert.deepEqual([wire.filter(([, , event]) => event === "roomer:token"), errors.map((error) => error.code)], [expected, expected.length ? [] : ["token"]]);
        }
    });

    test("a token for an earlier session is not sent", async () => {
        let token = () => "first";
        const { server, conn, wire, errors } = await login(() => token());
        let release;
        token = () => new Promise((resolve) => (release = resolve));
        conn.expiring(60_000);
        await server.advance(100);
        const late = release;
        token = () => "second";
        conn.cut();
        conn.expire();
        await server.advance(5_000);
        late("late");
        await server.advance(100);
        assert.deepEqual([wire.filter(([, , event]) => event === "roomer:token"), errors], [[], []]);
    });

    test("a peer cannot request the token", async () => {
        const { server, conn, wire } = await login(() => "secret");
        conn.deliver(encode("root", "roomer:expiring", "", "peer", toBytes('{"in":1}')));
        await server.advance(100);
        assert.deepEqual(wire, []);
    });
});

describe("a packet that the server refuses", () => {
    test("is an error with its kind, its room, its event and a remedy", async () => {
        const world = await enter(2);
        const { server, client, room, other, errors } = world;
        const gone = other.client.id;
        other.client.close();
        connOf(world, client).kick("root");
        await server.advance(100);
        room.send("n", 1, gone);
        server.allow({ join: (conn, name) => name !== "vip" });
        const ends = [];
        client.join("vip").on("close", (error) => ends.push([error.code, errors.at(-1).kind]));
        await server.advance(100);
        const about = errors.map(({ name, code, kind, room: where, event, remedy }) => [name, code, kind, where, event, typeof remedy]);
        assert.deepEqual(about, [["RoomerError", "rejected", "gone", "lobby", "n", "string"], ["RoomerError", "rejected", "refused", "vip", "join", "string"]]);
        assert.deepEqual(ends, [["refused", "refused"]]);
        assert.match(errors[0].message, /^rejected: gone: .* \(n in lobby\)/);
    });

    test("above the rate of errors is counted in the next one, before it is confirmed", async () => {
        const world = await enter();
        const { server, client, room, errors } = world;
        const told = () => errors.reduce((sum, { more = 0 }) => sum + 1 + more, 0);
        connOf(world, client).kick("lobby");
        client.join("lobby").on("close", () => {});
        for (let n = 0; n < 40; n++) {
            client.root.send("n", n, "gone");
        }
        await server.advance(20);
        assert.deepEqual([errors.length, told(), room.state], [16, 16, "closed"]);
        const before = errors.length;
        await server.advance(10_000);
        assert.deepEqual([errors.length, told(), errors[before].more], [17, 40, 23]);
        // The next error counts the others.
        for (let n = 0; n < 30; n++) {
            client.root.send("n", n, "gone");
        }
        await server.advance(100);
        client.root.send("n", 30, "gone");
        await server.advance(20);
        assert.deepEqual([errors.length, told(), errors.at(-1).more], [34, 71, 14]);
        // So does a close.
        for (let n = 0; n < 30; n++) {
            client.root.send("n", n, "gone");
        }
        await server.advance(20);
        connOf(world, client).close(4000);
        await server.advance(20);
        assert.deepEqual([told(), client.state], [101, "closed"]);
    });

    test("unknown kinds have no remedy, and malformed errors are reported", async () => {
        const world = await enter();
        const { server, client, errors } = world;
        const conn = connOf(world, client);
        for (const text of ['{"code":"new","message":"text"}', "nonsense", "null"]) {
            conn.deliver(encode("root", "roomer:error", "", "", toBytes(text)));
        }
        await server.advance(100);
        assert.deepEqual(errors.map(({ code, kind, remedy }) => [code, kind, remedy]), [["rejected", "new", undefined], ["payload", undefined, undefined], ["payload", undefined, undefined]]);
    });
});
