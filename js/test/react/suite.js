/** Tests of the hooks with the in-memory server. They are bundled with each version of React. */

import assert from "node:assert/strict";
import { test } from "node:test";

import * as React from "react";

import { connect } from "../../src/index.js";
import { RoomerProvider, useClient, useEvent, useMemberInfo, useMembers, useRoom } from "../../src/react/index.js";
import { Count, State, app } from "./app.js";
import { commits } from "./commit.js";
import { observe, setUp } from "./page.js";
import { hiding } from "./hiding.js";

const { StrictMode, createElement: h, act: actIn, memo } = React;

/** Runs `body`. Returns everything that was written to the console in the meantime. */
async function complaints(body) {
    const said = [];
    const { error, warn } = console;
    console.error = console.warn = (...args) => said.push(args.join(" "));
    try {
        await body();
    } finally {
        Object.assign(console, { error, warn });
    }
    return said;
}

/** @param {(options: object) => string} renderOnServer renders the app below in a separate copy of React, without a page */
export function suite(version, renderOnServer) {
    test("the expected version is loaded", () => assert.equal(React.version.split(".")[0], version));

    test("a mounted component joins its room and rerenders when it opens", async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        await page.render(page.provider(h(Count)));
        assert.equal(page.host.textContent, "lobby open 2");
        await page.render(page.provider());
        assert.deepEqual([other.seen, page.server.members("lobby").length], [["came", "left"], 1]);
        await page.unmount();
        assert.equal(page.server.connections().length, 1, "the provider's own client is closed with it");
        other.client.close();
    });

    test("StrictMode joins and leaves once, on one connection", async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        const said = await complaints(() => page.render(h(StrictMode, null, page.provider(h(Count), h(Count)))));
        assert.deepEqual([said, other.seen, page.server.connections().length], [[], ["came"], 2]);
        assert.equal(page.host.textContent, "lobby open 2lobby open 2");
        await page.unmount();
        assert.deepEqual([other.seen, page.server.connections().length], [["came", "left"], 1]);
        other.client.close();
    });

    test("components share a room until the last unmounts", async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        await page.render(page.provider(h(Count, { key: 1 }), h(Count, { key: 2 })));
        await page.render(page.provider(h(Count, { key: 2 })));
        assert.deepEqual(other.seen, ["came"]);
        // One component is removed, and another is added, in the same turn.
        await page.render(page.provider(h(Count, { key: 3 })));
        assert.deepEqual([other.seen, page.host.textContent], [["came"], "lobby open 2"]);
        await page.render(page.provider());
        assert.deepEqual(other.seen, ["came", "left"]);
        await page.unmount();
        other.client.close();
    });

    test("the first component's options apply, and differing ones warn", async () => {
        const page = setUp({ history: 20 });
        const rooms = {};
        const Lobby = ({ mark, options }) => void (rooms[mark] = useRoom("lobby", options));
        const of = (mark, options) => h(Lobby, { key: mark, mark, options });
        const show = (...children) => complaints(() => page.render(page.provider(h(Count, { key: "count", name: "shown" }), ...children)));
        assert.deepEqual(await show(of("plain")), []);
        const said = await show(of("plain"), of("history", { history: 20 }), of("text", { codec: "text" }));
        assert.equal(said.length, 2);
        assert.match(said[0], /useRoom\("lobby"\) ignores its options.*"lobby" is joined already, without a history/);
        assert.match(said[1], /useRoom\("lobby"\) ignores its options.*"lobby" is joined already, with another codec/);
        assert.deepEqual([page.host.textContent, rooms.history === rooms.plain, rooms.text === rooms.plain], ["shown open 1", true, true]);
        // A component that joins again after a kick is the first.
        await actIn(async () => page.server.connections()[0].kick("lobby"));
        await page.settle();
        const again = await show(of("plain"), of("history", { history: 20 }), of("text", { codec: "text" }), of("new", { codec: "text" }));
        assert.deepEqual([again.length, page.host.textContent, new Set(Object.values(rooms)).size, rooms.new.state], [1, "shown open 1", 1, "open"]);
        assert.match(again[0], /without a history/);
        // Each component counts as a user.
        await show(of("text", { codec: "text" }));
        assert.equal(page.server.members("lobby").length, 1);
        await show();
        assert.equal(page.server.members("lobby").length, 0);
        await page.unmount();
    });

    test("a changed name changes the room, and no name joins none", async () => {
        const page = setUp();
        await page.render(page.provider(h(Count, { name: "a" })));
        await page.render(page.provider(h(Count, { name: "b" })));
        assert.deepEqual([page.host.textContent, page.server.members("a").length, page.server.members("b").length], ["b open 1", 0, 1]);
        await page.render(page.provider(h(Count, { name: null })));
        assert.deepEqual([page.host.textContent, page.server.members("b").length], ["null none 0", 0]);
        await page.unmount();
    });

    test("the latest render's listener is called, from the first message", async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        // Send as early as possible: when the notice of the join arrives.
        other.room.on("new_member", (id) => void other.room.send("chat", "welcome", id));
        const heard = [];
        function Listener({ mark }) {
            useEvent(useRoom("lobby"), "chat", (text, from, direct) => heard.push([mark, text, from === other.room.id, direct]));
            return null;
        }
        await page.render(h(StrictMode, null, page.provider(h(Listener, { mark: 1 }))));
        assert.deepEqual(heard, [[1, "welcome", true, true]]);
        for (const mark of [2, 3, 4]) {
            await page.render(h(StrictMode, null, page.provider(h(Listener, { mark }))));
        }
        other.room.send("chat", "hello");
        await page.settle();
        assert.deepEqual(heard.slice(1), [[4, "hello", true, false]]);
        await page.unmount();
        other.room.send("chat", "too late");
        await page.settle();
        assert.equal(heard.length, 2);
        other.client.close();
    });

    test("the member list is the same array until it changes", async () => {
        const page = setUp();
        const lists = new Set();
        let redraw;
        function List() {
            [, redraw] = React.useState(0);
            lists.add(useMembers(useRoom("lobby")));
            return null;
        }
        await page.render(page.provider(h(List), h(Count)));
        lists.clear();
        await actIn(async () => redraw(1));
        await actIn(async () => redraw(2));
        assert.equal(lists.size, 1);
        const other = await observe(page, "lobby");
        await actIn(async () => redraw(3));
        assert.deepEqual([...lists].map((list) => list.length), [1, 2]);
        assert.ok([...lists][1].includes(other.room.id));
        await page.unmount();
        other.client.close();
    });

    test("the list with info is the same array until it changes", async () => {
        const page = setUp();
        page.server.allow({ setInfo: () => true });
        const lists = new Set();
        function List() {
            lists.add(useMemberInfo(useRoom("lobby")));
            return null;
        }
        await page.render(page.provider(h(List)));
        const other = await observe(page, "lobby");
        lists.clear();
        await actIn(async () => other.client.setInfo({ name: "Ann" }));
        await page.settle();
        assert.deepEqual([...lists].map((list) => list.map(({ info }) => info)), [[null, { name: "Ann" }]]);
        await page.unmount();
        other.client.close();
    });

    test("state, error and members follow a lost connection", async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        await page.render(page.provider(h(State), h(Count)));
        assert.equal(page.host.textContent, "open lobby open 2");
        await actIn(async () => page.server.cut());
        await page.settle();
        assert.equal(page.host.textContent, "suspended lostlobby joining 2");
        await actIn(() => page.server.advance(2_000));
        await page.settle();
        assert.equal(page.host.textContent, "open lobby open 2");
        await page.unmount();
        other.client.close();
    });

    test("a kick is reported, and a new component rejoins", async () => {
        const page = setUp();
        await page.render(page.provider(h(Count, { key: 1 })));
        await actIn(async () => page.server.connections()[0].kick("lobby"));
        await page.settle();
        assert.match(page.host.textContent, /^lobby closed/);
        await page.render(page.provider(h(Count, { key: 2 })));
        assert.equal(page.host.textContent, "lobby open 1");
        await page.unmount();
        assert.equal(page.server.members("lobby").length, 0);
    });

    test("a kick closes the room for all components until one rejoins", async () => {
        const page = setUp();
        const other = await observe(page, "lobby");
        const heard = [];
        function Member({ mark }) {
            const room = useRoom("lobby");
            useEvent(room, "chat", (text) => heard.push(`${mark} ${text}`));
            useEvent(room, "close", (error) => heard.push(`${mark} ${error.code}`));
            return h("p", null, room?.state, useMembers(room).length);
        }
        const show = (...marks) => page.render(h(StrictMode, null, page.provider(...marks.map((mark) => h(Member, { key: mark, mark })))));
        const kick = () => page.server.connections()[1].kick("lobby");
        const say = async (text) => {
            other.room.send("chat", text);
            await page.settle();
            return heard.splice(0);
        };
        await show("a", "b");
        await actIn(async () => kick());
        await page.settle();
        assert.match(page.host.textContent, /^closed\d?closed\d?$/);
        assert.deepEqual(heard.splice(0), ["a removed", "b removed"]);
        assert.deepEqual(await say("not to us"), []);
        const said = await complaints(() => show("a", "b", "c"));
        assert.deepEqual([said, page.host.textContent, other.seen], [[], "open2open2open2", ["came", "left", "came"]]);
        assert.deepEqual((await say("hello")).sort(), ["a hello", "b hello", "c hello"]);
        // The server puts the client into the room again.
        await actIn(async () => kick());
        await page.settle();
        await actIn(async () => page.server.connections()[1].join("lobby"));
        await page.settle();
        assert.equal(page.host.textContent, "open2open2open2");
        heard.length = 0;
        assert.deepEqual((await say("again")).sort(), ["a again", "b again", "c again"]);
        // Each component counts as a user of the new room, so the client leaves it only after the last has unmounted.
        await show("a");
        assert.deepEqual([page.host.textContent, await say("to one")], ["open2", ["a to one"]]);
        await show();
        assert.equal(page.server.members("lobby").length, 1);
        await page.unmount();
        other.client.close();
    });

    test("components with separate clients are independent", async () => {
        const page = setUp();
        const clients = [1, 2].map(() => connect("ws://test/ws", page.options));
        await page.settle();
        const pages = (second) => h(React.Fragment, null, clients.map((client, n) => h(RoomerProvider, { client, key: n }, (second || !n) && h(Count))));
        await page.render(pages(false));
        await actIn(async () => page.server.connections()[0].kick("lobby"));
        await page.settle();
        await page.render(pages(true));
        assert.match(page.host.textContent, /^lobby closed \d?lobby open 1$/);
        await page.unmount();
        clients.forEach((client) => client.close());
    });

    test("a client passed as a prop is not closed", async () => {
        const page = setUp();
        const client = connect("ws://test/ws", page.options);
        const states = [];
        function States() {
            useEvent(useClient(), "state", (state) => states.push(state));
            return h(State);
        }
        const said = await complaints(() => page.render(h(StrictMode, null, h(RoomerProvider, { client }, h(States), h(Count)))));
        assert.deepEqual([said, page.host.textContent, states], [[], "open lobby open 1", ["open"]]);
        await page.unmount();
        assert.deepEqual([client.state, page.server.members("lobby").length], ["open", 0]);
        client.close();
    });

    test("a lazy client is started by its provider", async () => {
        const page = setUp();
        const client = connect("ws://test/ws", { ...page.options, lazy: true });
        await page.settle();
        assert.equal(client.state, "idle");
        await page.render(h(RoomerProvider, { client }, h(State), h(Count)));
        assert.equal(page.host.textContent, "open lobby open 1");
        await page.unmount();
        client.close();
    });

    test("a changed URL reconnects", async () => {
        const page = setUp();
        for (const url of ["ws://test/one", "ws://test/two"]) {
            await page.render(h(RoomerProvider, { url, options: page.options }, h(Count)));
        }
        await page.settle();
        assert.deepEqual([page.server.connections().map((each) => each.url), page.host.textContent], [["ws://test/two?roomer=2"], "lobby open 1"]);
        await page.unmount();
    });

    test("a changed token reconnects", async () => {
        const page = setUp();
        page.server.allow({ connect: (url, token) => ({ user: token }) });
        for (const token of ["ann", "ann", "bob", null]) {
            await page.render(h(StrictMode, null, h(RoomerProvider, { url: "ws://test/ws", options: { ...page.options, token } }, h(Count))));
            await page.settle();
            assert.deepEqual([page.server.connections().map(({ user }) => user ?? null), page.host.textContent], [[token], "lobby open 1"]);
        }
        assert.equal(page.server.connections()[0].id.slice(-1), "3", "a render with the same token keeps the connection");
        await page.unmount();
    });

    test("the latest functions for URL and token are called", async () => {
        const page = setUp();
        const seen = [];
        page.server.allow({ connect: (url, token) => !!seen.push([url, token]) });
        const render = (n) => page.render(h(RoomerProvider, { url: () => `ws://test/${n}`, options: { ...page.options, token: async () => `${n}` } }, h(Count)));
        for (const n of [1, 2, 3]) {
            await render(n);
        }
        page.server.connections()[0].close(1001);
        await page.server.advance(5_000);
        await page.settle();
        assert.deepEqual(seen.map(([url, token]) => [url.slice(0, 14), token]), [["ws://test/1?to", "1"], ["ws://test/3?to", "3"]]);
        await page.unmount();
    });

    test('a room with presence "count" rerenders when the count changes', async () => {
        const page = setUp({ presence: (room) => (room === "lobby" ? "count" : "full") });
        function Number() {
            const room = useRoom("lobby");
            return h("b", null, `${room?.count} `, h(Members, { room }));
        }
        const Members = memo(({ room }) => h("i", null, `${useMembers(room).length} of ${room?.count}`));
        const other = await observe(page, "lobby");
        await page.render(page.provider(h(Number)));
        assert.equal(page.host.textContent, "2 0 of 2");
        await actIn(async () => other.client.close());
        await page.settle();
        assert.equal(page.host.textContent, "1 0 of 1");
        await page.unmount();
    });

    test("a closed client does not fail", async () => {
        const page = setUp();
        const client = connect("ws://test/ws", page.options);
        client.close();
        await page.render(h(RoomerProvider, { client }, h(State), h(Count)));
        assert.equal(page.host.textContent, "closed lobby none 0");
        await page.unmount();
    });

    test("no room is joined without a provider", async () => {
        const page = setUp();
        await page.render(h("p", null, h(State), h(Count)));
        assert.equal(page.host.textContent, "idle lobby none 0");
        await page.unmount();
    });

    test("server rendering connects nothing, and hydration matches", async () => {
        const page = setUp();
        const timers = page.server.clock.pending();
        let html;
        const said = await complaints(() => (html = renderOnServer(page.options)));
        await page.settle();
        assert.deepEqual([said, page.server.connections().length, page.server.clock.pending()], [[], 0, timers]);
        assert.match(html, /idle .*lobby none 0/);
        page.host.innerHTML = html;
        let errors;
        const warned = await complaints(async () => (errors = await page.hydrate(app(page.options))));
        assert.deepEqual([warned, errors, page.host.textContent], [[], [], "open lobby open 1"]);
        await page.unmount();
    });

    [hiding, commits].forEach((tests) => tests());

    for (const [what, options, name, room] of [["connect()", { tokenIn: "nowhere" }, "lobby"], ["join()", {}, "lobby", { nope: 1 }]]) {
        test(`an error of ${what} reaches the error boundary`, async () => {
            const page = setUp();
            const caught = [];
            class Boundary extends React.Component {
                state = {};
                static getDerivedStateFromError = () => ({ hasFailed: true });
                componentDidCatch = (error) => caught.push(error.code);
                render() {
                    return this.state.hasFailed ? "failed" : this.props.children;
                }
            }
            const Lobby = () => void useRoom(name, room);
            await complaints(() => page.render(h(Boundary, null, h(RoomerProvider, { url: "ws://test/ws", options: { ...page.options, ...options } }, h(Lobby)))));
            assert.deepEqual([caught, page.host.textContent], [["argument"], "failed"]);
            await page.unmount();
        });
    }

    test("a discarded render joins nothing", async () => {
        const page = setUp();
        const never = new Promise(() => {});
        function Suspended() {
            useRoom("hidden");
            throw never;
        }
        await page.render(page.provider(h(React.Suspense, { fallback: "…" }, h(Suspended))));
        assert.deepEqual([page.host.textContent, page.server.members("hidden").length], ["…", 0]);
        await page.unmount();
    });
}
