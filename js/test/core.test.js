/**
 * The client without its features: what is passed works, and what is not does not exist.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as core from "../src/core.js";
import { createServer } from "../src/testkit/index.js";
import { code } from "./support/kit.js";

describe("roomer/core", () => {
    test("has rooms, messages, sessions and members, and nothing else unless it is passed", async () => {
        const server = createServer({ history: 5 });
        server.onRequest("double", (conn, message) => message.json() * 2);
        const bare = core.connect("ws://test/ws", { ...server.options, codec: core.json });
        const client = core.connect("ws://test/ws", { ...server.options, codec: core.json, features: [core.requests] });
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

    test("takes codecs and places of the token as objects and functions, not by name", async () => {
        const server = createServer();
        assert.throws(() => core.connect("ws://test/ws", { ...server.options, codec: "json" }), code("argument"));
        core.connect("ws://test/ws", { ...server.options, token: "secret", tokenIn: core.toProtocol });
        await server.advance();
        const [{ url, token }] = server.connections();
        assert.deepEqual([new URL(url).searchParams.has("token"), token], [false, "secret"]);
    });
});
