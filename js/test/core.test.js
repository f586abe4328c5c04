/** Tests of the client without features: included features work, and the methods of the others do not exist. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as core from "../src/core.js";
import { createServer } from "../src/testkit/index.js";
import { code, record } from "./support/kit.js";

describe("roomer/core", () => {
    test("has only rooms, messages and members without features", async () => {
        const server = createServer({ history: 5 });
        server.onRequest("double", (conn, message) => message.json() * 2);
        const bare = core.connect("ws://test/ws", { ...server.options, codec: core.json });
        const client = core.connect("ws://test/ws", { ...server.options, codec: core.json, features: [core.sessions, core.requests] });
        const heard = [];
        const [lobby, other] = [bare, client].map((each) => each.join("lobby", { history: 5 }));
        lobby.on("chat", (...args) => heard.push(args));
        await server.advance();
        other.send("chat", { n: 1 });
        const answer = other.request("double", 21);
        server.cut();
        await server.advance(5_000);
        assert.deepEqual([await answer, heard, lobby.member(client.id).info], [42, [[{ n: 1 }, client.id, false]], null]);
        for (const name of ["request", "handle", "messages", "sent", "history"]) {
            assert.deepEqual([name in lobby, name in other], [false, name === "request" || name === "handle"], name);
        }
        assert.ok(!("setInfo" in bare) && Object.isFrozen(bare) && Object.isFrozen(lobby));
    });

    test("uses the plain protocol without sessions, rejoins rooms and reports possible losses", async () => {
        const server = createServer();
        const [bare, resuming] = [[], [core.sessions]].map((features) => core.connect("ws://test/ws", { ...server.options, codec: core.json, features }));
        const lobby = bare.join("lobby");
        const lost = record(bare, "lost", "resumed");
        const log = record(lobby, "open", "reopen", "new_member", "member_left", "chat");
        resuming.join("lobby");
        await server.advance();
        const [id, otherId] = [bare.id, resuming.id];
        assert.deepEqual(server.connections().map(({ url }) => new URL(url).searchParams.get("roomer")), [null, "2"]);
        assert.deepEqual([lobby.members(), lobby.member(otherId)], [[id, otherId], { id: otherId, info: null, user: undefined }]);
        lobby.send("chat", 1);
        server.cut();
        await server.advance(5_000);
        // The client with sessions resumes its session, while the plain client has a new connection.
        assert.deepEqual([bare.state, bare.id === id, resuming.id], ["open", false, otherId]);
        assert.deepEqual(log.map(([event]) => event), ["open", "new_member", "reopen"]);
        assert.deepEqual(lost.map(([event, { payload, reason }]) => [event, payload, reason]), [["lost", 1, "unconfirmed"]]);
        resuming.join("lobby").send("chat", { n: 2 });
        await server.advance();
        assert.deepEqual(log.at(-1), ["chat", { n: 2 }, otherId, false]);
    });

    test("detects a silent server and closes its socket", async () => {
        const server = createServer();
        const client = core.connect("ws://test/ws", { ...server.options, heartbeat: 1_000, timeout: 1_000 });
        const log = record(client, "state");
        await server.advance();
        server.stall();
        await server.advance(2_500);
        server.resume();
        await server.advance(5_000);
        assert.deepEqual(log.map(([, state, error]) => error?.code ?? state), ["open", "timeout", "connecting", "open"]);
        assert.deepEqual([client.state, server.connections().length], ["open", 1]);
    });

    test("rejects requests and ignores info and history without sessions", async () => {
        const server = createServer({ history: 5 });
        const client = core.connect("ws://test/ws", { ...server.options, codec: core.json, features: [core.requests, core.ownInfo, core.history, core.rejections] });
        const errors = record(client, "error");
        const lobby = client.join("lobby", { history: 5 });
        client.setInfo({ name: "Ann" });
        await assert.rejects(lobby.request("double", 1), code("plain"));
        await server.advance();
        await assert.rejects(lobby.request("double", 1), code("plain"));
        assert.deepEqual([lobby.history, lobby.member(client.id).info, errors], [undefined, null, []]);
    });

    test("is independent of the order of features", async () => {
        const all = [core.sessions, core.streams, core.receipts, core.requests, core.history, core.ownInfo, core.rejections, core.renewal, core.directs, core.tracing];
        const logs = [];
        for (const features of [all, [...all].reverse()]) {
            const server = createServer({ history: 5 });
            server.onRequest("double", (conn, message) => message.json() * 2);
            const records = [];
            const debug = ({ what, event, state }) => void records.push([what, event ?? state]);
            const client = core.connect("ws://test/ws", { ...server.options, codec: core.json, features, debug });
            const other = core.connect("ws://test/ws", { ...server.options, codec: core.json, features: all });
            const log = record(client, "state", "resumed", "direct", "error");
            const [lobby, hall] = [client.join("lobby", { history: 5 }), other.join("hall")];
            lobby.handle("where", () => "here");
            await server.advance();
            client.setInfo({ name: "Ann" });
            hall.send("psst", 1, client.id);
            const answers = [lobby.request("double", 21), other.join("lobby").request("where", null, { to: client.id })];
            // A request to a client that is not in the room is not a `direct` message.
            hall.request("where", null, { to: client.id }).catch((error) => log.push(["answer", error.kind]));
            await server.advance();
            log.push(...(await Promise.all(answers)));
            server.cut();
            lobby.send("chat", 1);
            const sent = lobby.sent;
            await server.advance(5_000);
            log.push(await sent, lobby.history.number, lobby.member(client.id).info);
            server.cut();
            server.expire();
            await server.advance(5_000);
            logs.push([JSON.stringify(log), records]);
        }
        assert.match(logs[0][0], /"direct".*"answer","unknown".*42,"here".*"resumed"/s);
        assert.deepEqual(logs[1], logs[0]);
    });

    test("accepts codecs and token places as values, not by name", async () => {
        const server = createServer();
        assert.throws(() => core.connect("ws://test/ws", { ...server.options, codec: "json" }), code("argument"));
        core.connect("ws://test/ws", { ...server.options, token: "secret", tokenIn: core.toProtocol });
        await server.advance();
        const [{ url, token }] = server.connections();
        assert.deepEqual([new URL(url).searchParams.has("token"), token], [false, "secret"]);
    });
});
