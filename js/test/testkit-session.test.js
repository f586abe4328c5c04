/** Tests that the test kit's server implements the extended protocol.
 *
 * It must behave as described in roomer-proto/EXTENDED.md, and as a real server does.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer } from "../src/testkit/index.js";
import { nthId } from "./support/kit.js";
import { decodePacket, encodePacket, text } from "./support/packets.js";

/** Opens a socket to the server. Returns the packets that it receives, and the payload of the first packet. */
async function enter(server, query = "roomer=2") {
    const socket = new server.options.WebSocket(`ws://test/ws?${query}`);
    socket.binaryType = "arraybuffer";
    const packets = [];
    const ends = [];
    socket.onmessage = ({ data }) => packets.push(decodePacket(data));
    socket.onclose = ({ code }) => ends.push(code);
    await server.advance();
    const first = packets[0];
    return {
        socket, packets, ends, hello: first?.event === "roomer:hello" && JSON.parse(text(first.payload)),
        send: (event, payload = "", dst = "", room = "root") => socket.send(encodePacket({ room, event, dst, src: "", payload })),
        seen: () => packets.splice(0).map(({ room, event, dst, payload }) => [room, event, ...(dst ? [dst] : []), text(payload)])
    };
}

const back = (server, { hello }, received) => enter(server, `roomer=2&session=${hello.session}&received=${received}`);

describe("the server of the test kit", () => {
    test("sends hello, members with info, and changes", async () => {
        const server = createServer();
        const plain = await enter(server, "");
        const ann = await enter(server);
        assert.deepEqual({ ...ann.hello, session: "", limits: 0 }, { version: 2, session: "", resumed: false, received: 0, heartbeat: 25_000, resume: 30_000, limits: 0 });
        assert.deepEqual(ann.seen().slice(1), [["root", "join_ack", JSON.stringify({ members: [[nthId(1), null], [nthId(2), null]] })]]);
        assert.deepEqual(plain.seen(), [["root", "join_ack", JSON.stringify([nthId(1)])], ["root", "new_member", nthId(2)]]);
        const bob = await enter(server);
        bob.socket.close();
        await server.advance();
        assert.deepEqual(ann.seen(), [["root", "roomer:members", JSON.stringify({ joined: [[nthId(3), null]] })], ["root", "roomer:members", JSON.stringify({ left: [nthId(3)] })]]);
        assert.deepEqual(plain.seen(), [["root", "new_member", nthId(3)], ["root", "member_left", nthId(3)]]);
    });

    test('sends only counts with presence "count"', async () => {
        const server = createServer({ presence: () => "count" });
        const ann = await enter(server);
        await enter(server, "");
        assert.deepEqual(ann.seen().slice(1), [["root", "join_ack", '{"count":1}'], ["root", "roomer:members", '{"count":2}']]);
    });

    test("resumes a session once per token, with missed packets", async () => {
        const server = createServer();
        const ann = await enter(server);
        server.cut();
        assert.deepEqual([ann.ends, server.connections()[0].isConnected], [[1006], false]);
        server.broadcast("root", "chat", "missed");
        const again = await back(server, ann, 1);
        assert.deepEqual([again.hello.resumed, again.hello.received, again.packets[0].src], [true, 0, nthId(1)]);
        assert.deepEqual(again.seen().slice(1), [["root", "chat", "missed"]]);
        // The socket that carries the new token may be lost, so the old token stays valid until the client has sent a packet.
        server.cut();
        const third = await back(server, ann, 1);
        assert.equal(third.hello.resumed, true);
        third.send("chat", "x");
        await server.advance();
        server.cut();
        for (const [before, received] of [[ann, 2], [again, 2], [{ hello: { session: `${nthId(1)}.0` } }, 2], [third, 99], [third, "x"], [third, 0]]) {
            const other = await back(server, before, received);
            assert.deepEqual([other.hello.resumed, other.packets[0].src === nthId(1)], [false, false]);
            other.socket.close();
            await server.advance();
        }
        assert.equal((await back(server, third, 2)).hello.resumed, true);
    });

    test("sends a final close to a returning client until the client has answered it", async () => {
        const server = createServer();
        server.allow({ connect: (url) => ({ user: new URL(url).searchParams.get("user") ?? "ann" }) });
        const ann = await enter(server);
        server.cut();
        server.connections()[0].close(4001, "banned");
        const eve = await enter(server, `roomer=2&user=eve&session=${ann.hello.session}&received=1`);
        assert.deepEqual([eve.hello.resumed, eve.ends], [false, []]);
        // The client gives up this socket before the close frame arrives.
        const lost = new server.options.WebSocket(`ws://test/ws?roomer=2&session=${ann.hello.session}&received=1`);
        lost.onopen = () => lost.close();
        await server.advance();
        const again = await back(server, ann, 1);
        assert.deepEqual([again.ends, again.packets], [[4001], []]);
        assert.equal((await back(server, ann, 1)).hello.resumed, false);
    });

    test("sends a final close to a client whose socket only looks open", async () => {
        const server = createServer();
        const ann = await enter(server);
        const [conn] = server.connections();
        conn.hang();
        conn.close(1008, "banned");
        assert.deepEqual([(await back(server, ann, 1)).ends, ann.ends], [[1008], []]);
    });

    test("opens a new session after another close, after an answer, and after the window", async () => {
        for (const [code, reason, isAway, wait] of [[1013, "", true, 0], [1008, "rate", true, 0], [4000, "", false, 0], [4000, "", true, 1_000]]) {
            const server = createServer({ resumeWindow: 1_000 });
            const ann = await enter(server);
            isAway && server.cut();
            server.connections()[0].close(code, reason);
            await server.advance(wait);
            const again = await back(server, ann, 1);
            assert.deepEqual([again.ends, again.hello.resumed], [[], false], `${code} ${reason}`);
        }
    });

    test("does not count a requested token towards the rates", async () => {
        const server = createServer({ messageRate: { perSecond: 0.001, burst: 1 } });
        const ann = await enter(server);
        const [conn] = server.connections();
        for (const token of ["one", "two", "three"]) {
            conn.expiring(60_000);
            ann.send("roomer:token", token);
            await server.advance();
            assert.deepEqual([ann.ends, conn.token], [[], token]);
        }
        // One that was not requested is a packet like any other.
        ann.send("roomer:token", "four");
        await server.advance();
        assert.deepEqual([ann.ends, conn.token, server.rejected().length], [[], "three", 1]);
        ann.send("roomer:token", "five");
        await server.advance();
        assert.deepEqual(ann.ends, [1008]);
    });

    test("drops a half-open old socket", async () => {
        const server = createServer();
        const ann = await enter(server);
        const again = await back(server, ann, 1);
        assert.deepEqual([ann.ends, again.hello.resumed, server.connections().length], [[1006], true, 1]);
    });

    test("acknowledges after 64 packets, after 5 s, on request and as keep-alive", async () => {
        const server = createServer();
        const ann = await enter(server);
        ann.seen();
        for (let n = 0; n < 65; n++) {
            ann.send("chat", "x");
        }
        await server.advance(4_999);
        assert.deepEqual(ann.seen(), [["root", "roomer:ack", "64"]]);
        await server.advance(1);
        assert.deepEqual(ann.seen(), [["root", "roomer:ack", "65"]]);
        ann.send("roomer:ack", "1", "?");
        await server.advance();
        assert.deepEqual(ann.seen(), [["root", "roomer:ack", "65"]]);
        await server.advance(50_000);
        assert.deepEqual(ann.seen(), [["root", "roomer:ack", "65"], ["root", "roomer:ack", "65"]]);
    });

    test("closes a client that acknowledges unsent packets or goes backwards", async () => {
        for (const counts of [["2"], ["1", "0"], ["x"]]) {
            const server = createServer();
            const ann = await enter(server);
            counts.forEach((count) => ann.send("roomer:ack", count));
            await server.advance();
            assert.deepEqual([ann.ends, server.connections()], [[1002], []]);
        }
    });

    test("keeps a session within its window and buffer unless it was closed", async () => {
        const ends = {
            "in time": [(server) => server.advance(999), true],
            "too late": [(server) => server.advance(1_000), false],
            "too much": [(server) => server.broadcast("root", "chat", "x".repeat(2_000)), false],
            "ended by the test": [(server) => server.expire(), false]
        };
        for (const [name, [happen, isKept]] of Object.entries(ends)) {
            const server = createServer({ resumeWindow: 1_000, resumeBuffer: 1_000 });
            const ann = await enter(server);
            server.cut();
            await happen(server);
            assert.equal((await back(server, ann, 1)).hello.resumed, isKept, name);
        }
        for (const close of [({ socket }) => socket.close(), (_, server) => server.connections()[0].close(1013)]) {
            const server = createServer();
            const ann = await enter(server);
            close(ann, server);
            await server.advance();
            assert.deepEqual([server.connections(), (await back(server, ann, 1)).hello.resumed], [[], false]);
        }
    });

    test("announces no member whose session overflowed on join", async () => {
        const server = createServer({ resumeBuffer: 150 });
        const ann = await enter(server);
        ann.send("join", "", "", "lobby");
        await server.advance();
        const bob = await enter(server);
        bob.send("roomer:ack", "1");
        await server.advance();
        ann.seen();
        const [, conn] = server.connections();
        conn.cut();
        assert.equal(server.connections().length, 2);
        conn.join("lobby");
        await server.advance();
        assert.deepEqual([server.connections().length, server.members("lobby")], [1, [nthId(1)]]);
        assert.deepEqual(ann.seen().filter(([, , payload]) => payload.includes("joined") && payload.includes(nthId(2))), []);
    });

    test("closes a client after 65 redundant acknowledgements in a row", async () => {
        const idle = async (after) => {
            const server = createServer();
            const client = await enter(server);
            client.send("roomer:ack", "1");
            for (let n = 0; n < 65; n++) {
                client.send("roomer:ack", "1", n % 2 ? "?" : "");
                n === 32 && (await after(server, client));
            }
            await server.advance();
            return client.ends;
        };
        assert.deepEqual(await idle(() => undefined), [1002]);
        assert.deepEqual(await idle((server) => server.advance(1_000)), []);
        assert.deepEqual(await idle((server, client) => client.send("leave", "", "", "nowhere")), []);
    });

    test("sends spread reconnect hints to extended clients when it stops", async () => {
        const server = createServer({ retryWindow: 1_000 });
        const reasons = [];
        for (const query of ["roomer=2", "roomer=2", ""]) {
            const { socket } = await enter(server, query);
            socket.onclose = ({ code, reason }) => reasons.push(`${code} ${reason}`);
        }
        server.stop();
        await server.advance();
        assert.deepEqual(reasons, ["1012 retry=618", "1012 retry=236", "1001 server is going away"]);
    });

    test("uses the plain protocol with the option plain", async () => {
        const server = createServer({ plain: true });
        const [ann, bob] = [await enter(server), await enter(server)];
        assert.equal(ann.hello, false);
        bob.seen();
        ann.send("roomer:ack", "7");
        await server.advance();
        assert.deepEqual(bob.seen(), [["root", "roomer:ack", "7"]]);
        server.cut();
        assert.deepEqual(server.connections(), []);
    });
});
