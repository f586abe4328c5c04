/**
 * Runs one case: its steps in order, against its own program.
 *
 * @module case
 */

import { compareEvent, comparePacket, fill, matches, sortMembers } from "./expect.mjs";
import { createLink } from "./link.mjs";
import { payloadOf, show } from "./packet.mjs";

/** The timeout, in milliseconds, for everything for which the protocol sets no time. Long, for busy machines. */
const TIMEOUT = 15_000;
/**
 * How far the clock of a client with its own clock advances at a time, while the case waits for a connection, in milliseconds.
 */
const TICK = 100;
/** Events that cases need not expect. */
const FREE = ["connecting", "suspended"];

/** Returns the names of the events that the server sends in a case, without the protocol's own. */
function eventsOf(steps) {
    const names = steps.flatMap((step) => (step.repeat ? eventsOf(step.steps) : step.server?.event ? [step.server.event] : []));
    return [...new Set(names)].filter((name) => !/^(roomer:.*|(join|leave)(_ack)?|new_member|member_left)$/.test(name));
}

/**
 * Runs a case. Returns `{ failure, log }`; `failure` is undefined if the client passes.
 *
 * @param {{steps: object[], values?: object, ignore?: string[]}} test `ignore` lists events that the client may report
 * @param {ReturnType<typeof import("./program.mjs").start>} program
 * @param {number} [timeout]
 */
export async function runCase({ steps, values = {}, ignore = [] }, program, timeout = TIMEOUT) {
    const variables = new Map(Object.entries(values));
    const events = [];
    /** Functions that check whether they can continue. */
    const waiters = new Set();
    let error;
    let virtual = 0;
    let clock = false;
    let lacks = [];
    /** True while the client is making a connection. */
    let isConnecting = false;
    let suspensions = 0;

    const wake = () => [...waiters].forEach((look) => look());
    const fail = (why) => {
        error ??= why instanceof Error ? why : new Error(why);
        wake();
    };
    const now = () => (clock ? virtual : performance.now());
    const link = await createLink(now, fail, wake);
    program.listen({ received, failed: fail });

    function received(event) {
        link.note(`event  ${JSON.stringify(event).slice(0, 300)}`);
        isConnecting = event.on === "connecting" || (isConnecting && event.on !== "suspended");
        suspensions += ["suspended", "closed"].includes(event.on);
        const isRoot = event.on === "joined" && event.room === "root";
        if (!FREE.includes(event.on) && !isRoot && !ignore.includes(event.on)) {
            events.push(event);
        }
        wake();
    }

    /** Waits until `look` returns a value. */
    const until = (look, what, limit = timeout) => new Promise((resolve, reject) => {
        const timer = setTimeout(() => end(() => reject(new Error(`${typeof what === "function" ? what() : what} within ${limit} ms`))), limit);
        const end = (action) => {
            clearTimeout(timer);
            waiters.delete(check);
            action();
        };
        const check = () => {
            const found = error ? undefined : look();
            if (error || found) {
                end(() => (error ? reject(error) : resolve(found)));
            }
        };
        waiters.add(check);
        check();
    });

    const call = async (command) => {
        let answer;
        program.call(command).then((done) => {
            answer = done;
            wake();
        });
        await until(() => answer, `the program has not answered ${JSON.stringify(command)}`);
        return answer;
    };

    /** Waits until the client has read everything sent to it, and everything that it has sent in response has arrived. */
    const settle = async () => {
        if (link.isOpen && !link.isStalled) {
            const before = link.pongs;
            link.socket().ping("settle");
            await until(() => link.pongs > before || !link.isOpen, "the client has not answered a ping");
        }
        await call({ do: "sync" });
    };

    const advance = async (ms) => {
        if (clock) {
            await call({ do: "advance", ms });
            virtual += ms;
        } else {
            await new Promise((resolve) => setTimeout(resolve, ms));
        }
    };

    /** Waits for a connection request. Returns how many milliseconds it took, or undefined if none came. */
    const awaitRequest = async (within) => {
        const began = now();
        while (clock && !link.requests.length && !isConnecting && now() - began < within) {
            await advance(TICK);
        }
        if (clock && !isConnecting && !link.requests.length) {
            return undefined;
        }
        const found = await until(() => link.requests.length, "no connection", clock ? timeout : within).catch((cause) => {
            if (error || clock) {
                throw cause;
            }
        });
        return found && now() - began;
    };

    /** Waits until the client has noticed a lost connection: its clock must not advance before then. */
    const isSuspended = (before) => !clock || until(() => suspensions > before, 'the client has not reported "suspended" or "closed"');

    const expectAccept = async ({ session, received: count, after = 0, within = 40_000, status }) => {
        const time = await awaitRequest(within);
        if (time === undefined) {
            throw new Error(`the client has not connected within ${within} ms`);
        }
        if (time < after) {
            throw new Error(`the client has connected after ${Math.round(time)} ms, before ${after} ms`);
        }
        const { query } = link.requests[0];
        const isExtended = !lacks.includes("extended");
        const asked = { roomer: isExtended ? "2" : null, session: session ?? null, received: session ? `${count}` : null };
        for (const [key, value] of Object.entries(asked)) {
            if (query.get(key) !== value && !(session === "any" && key !== "roomer")) {
                throw new Error(`the query has ${key}=${query.get(key)} and not ${value}`);
            }
        }
        isConnecting = false;
        if (status) {
            const before = suspensions;
            link.requests.shift().reject(status);
            await isSuspended(before);
        } else {
            link.accept();
        }
    };

    const lose = async (how, ...args) => {
        await settle();
        const before = suspensions;
        link.socket()[how](...args);
        await until(() => !link.isOpen, "the socket has not ended");
        await isSuspended(before);
    };

    const kinds = {
        do: async ({ fails, ...command }) => {
            const { fill: bytes, text, json, hex, ...rest } = command;
            const payload = [bytes, text, json, hex].some((value) => value !== undefined) ? { hex: payloadOf(command).toString("hex") } : {};
            const target = command.do === "connect" ? { url: link.url, listen: eventsOf(steps) } : {};
            isConnecting ||= command.do === "connect";
            const isInfo = command.do === "info";
            const { error: why } = await call(isInfo ? command : { ...rest, ...payload, ...target });
            if (!!why !== !!fails) {
                throw new Error(why ? `the program reports: ${why}` : "the client has accepted it");
            }
        },
        accept: ({ accept }) => expectAccept(accept),
        absent: async ({ absent }) => {
            await settle();
            if (clock) {
                await advance(absent);
            }
            const isHere = clock ? isConnecting || link.requests.length : (await awaitRequest(absent)) !== undefined;
            if (isHere) {
                throw new Error("the client has connected again");
            }
        },
        server: async ({ server, fragments, limit }) => {
            server.raw === undefined ? link.send({ room: "", event: "", dst: "", src: "", ...server, payload: payloadOf(server) }, { fragments, limit }) : link.sendBytes(Buffer.from(server.raw, "hex"));
        },
        client: async ({ client, as, within = 0 }) => {
            // The client may wait before it sends this.
            for (const began = now(); clock && !link.packets.length && now() - began < within; await settle()) {
                await advance(TICK);
            }
            const packet = await until(() => link.packets.shift(), "the client has not sent it");
            const difference = comparePacket(packet, client, variables);
            if (difference) {
                throw new Error(`the client sent ${show(packet)}: ${difference}`);
            }
            as && variables.set(`before:${as}`, packet.number - 1);
        },
        on: async (expected) => {
            const event = await until(() => events.shift(), () => "the client has not reported it");
            const difference = compareEvent(event, expected, variables);
            if (difference) {
                throw new Error(`the client reported ${JSON.stringify(event).slice(0, 300)}: ${difference}`);
            }
        },
        all: async ({ all }) => {
            for (const due of all.map((_, n) => n)) {
                const event = await until(() => events.shift(), `the client has reported ${due} of these events`);
                const at = all.findIndex((expected) => expected && !compareEvent(event, expected, variables));
                if (at < 0) {
                    throw new Error(`the client reported ${JSON.stringify(event).slice(0, 300)}`);
                }
                all[at] = undefined;
            }
        },
        members: async ({ members: room, are, count }) => {
            await settle();
            const { members, count: number } = await call({ do: "members", room });
            const wanted = are && sortMembers(are.map((each) => (typeof each === "string" ? { id: each } : each)).map(({ id, ...rest }) => (lacks.includes("members") ? { id } : { id, ...rest })));
            const [found, due] = are ? [sortMembers(members), wanted] : [number, count];
            if (!matches(found, due, variables)) {
                throw new Error(`the client knows ${JSON.stringify(found)} and not ${JSON.stringify(due)}`);
            }
        },
        cut: ({ cut }) => lose(cut),
        close: ({ close }) => lose("close", ...close),
        stall: async () => {
            await settle();
            link.stall();
        },
        closed: async ({ closed }) => {
            await until(() => !link.isOpen, "the client has not closed the socket");
            if (link.ended.code !== closed) {
                throw new Error(`the client's close frame has ${link.ended.code} and not ${closed}`);
            }
        },
        advance: async ({ advance: ms }) => {
            await settle();
            await advance(ms);
            await settle();
        },
        asked: async () => {
            const { sent } = link.session;
            link.ask();
            await until(() => link.session.acknowledged === sent && !link.session.asked, () => `the client has acknowledged ${link.session.acknowledged} of ${sent} packets, and not answered,`, clock ? timeout : 3_000);
        },
        acknowledged: async () => {
            await until(() => link.session.acknowledged === link.session.sent, () => `the client has acknowledged ${link.session.acknowledged} of ${link.session.sent} packets`, clock ? timeout : 3_000);
        },
        nothing: async () => {
            await settle();
            if (link.packets.length) {
                throw new Error(`the client sent ${show(link.packets[0])}`);
            }
            if (events.length) {
                throw new Error(`the client reported ${JSON.stringify(events[0]).slice(0, 300)}`);
            }
        },
        repeat: async ({ repeat, steps: inner }) => {
            for (let n = 1; n <= repeat; n++) {
                variables.set("n", n);
                await run(inner);
            }
            variables.delete("n");
        }
    };

    async function run(list) {
        for (const step of list) {
            const kind = Object.keys(kinds).find((name) => name in step);
            variables.set("received", link.session.received).set("sent", link.session.sent);
            try {
                if (error) {
                    throw error;
                }
                await kinds[kind](kind === "repeat" ? step : fill(step, variables));
            } catch (cause) {
                throw cause.step ? cause : Object.assign(cause, { step });
            }
        }
    }

    try {
        let first;
        program.isReady.then((event) => {
            first = event;
            wake();
        });
        const { again, ...about } = await until(() => first, "the program is not ready");
        ({ clock = false, lacks = [] } = about);
        await run([...steps, { nothing: true }]);
        again && (await call({ do: "end" }));
        return { log: link.log };
    } catch (failure) {
        return { failure, log: link.log };
    } finally {
        program.listen({ received() {}, failed() {} });
        link.close();
    }
}
