/** Runs random plans with one client in virtual time.
 *
 * support/plan.js describes plans, and the conditions that must hold after them. ROOMER_PLANS sets the number of plans,
 * ROOMER_SEED the first seed. A failing plan is shrunk and printed as a test. The plans are divided among processes, one per
 * core.
 *
 * Odd seeds generate plans for a plain server, even ones for a server with sessions.
 *
 * With bugs planted one at a time, the plans find that the client does the following, all by seed 1,199 unless another seed is
 * given. It applies an ambiguous acknowledgement immediately, mistakes a leave_ack for a rejection, or applies a join_ack after
 * its own leave; never releases held packets, or releases them in the wrong order (seed 8,723); counts messages to a room from
 * which it was removed as arrived; sends a queue before its room opens; does not report unconfirmed messages after a cut, or the
 * queue of a closed room; lets a connection confirm messages of the previous one, or an answer confirm packets sent after its
 * probe; does not delay a leave until the end of its turn; keeps its id, or the members, across connections; treats 1008 as final
 * in all cases.
 *
 * In sessions, by seed 3,834: on resumption, the client restarts the count of received packets, or sends a count that is one too
 * low; sends handled packets again; sends no probe on resumption, or (found by the plan below) before a retransmitted leave; does
 * not report the loss of a session; keeps members that have left, or loses info changes; does not set its info in a new session;
 * does not end a sent request with its session, or does end a queued one; does not end a request with its room; sends an answer in
 * another session, or only while there is a connection; delivers a received message again (seed 928); sends a position that is one
 * too high, or none; does not emit history_lost. session.test.js and session-wire.test.js find more than twenty other bugs of
 * sessions.
 *
 * The following are not found by 20,000 plans, and are tested elsewhere: a room stays open after an ambiguous leave_ack, or there is
 * no probe before a leave (outbox.test.js); a message overtakes queued ones, or does not wait for other members
 * (messages.test.js); an answer does not end its probe (life.test.js). Without ticks, or without a probe for a held
 * acknowledgement, the client is only slower.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { describe, test } from "node:test";

import { draw, run, shrink } from "./support/plan.js";

const count = Number(process.env.ROOMER_PLANS ?? 20_000);
const first = Number(process.env.ROOMER_SEED ?? 1);

/**
 * Runs plans in a separate process: the test runner tracks every promise, and this costs three times as much as the plans
 * themselves.
 */
async function runApart(t, from, most) {
    const code = `import { runSeeds } from "${new URL("./support/plan.js", import.meta.url)}"; await runSeeds(${from}, ${most});`;
    // Plans create many short-lived objects: with a large young generation, they are collected less often. Objects that survive
    // because a plan is waiting must not make the engine allocate similar objects as long-lived ones. With one process per core,
    // additional threads of the garbage collector save no time.
    const flags = ["--stack-trace-limit=0", "--max-semi-space-size=64", "--single-threaded-gc", "--no-allocation-site-pretenuring", "--input-type=module"];
    const child = spawn(process.execPath, [...flags, "-e", code], { stdio: ["ignore", "ignore", "pipe"] });
    t.after(() => child.kill());
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
    const [status] = await once(child, "close");
    assert.deepEqual([errors, status], ["", 0], errors);
}

test(`${count} plans from seed ${first} on`, { timeout: 600_000 }, async (t) => {
    const share = Math.ceil(count / Math.min(4, availableParallelism()));
    const shares = Array.from({ length: Math.ceil(count / share) }, (_, n) => runApart(t, first + n * share, Math.min(share, count - n * share)));
    await Promise.all(shares);
});

describe("regressions", () => {
    test("a request leaves the queue before the protocol is known", () => run({
        plain: false,
        latency: 1,
        steps: [{ do: "join", room: "a" }, { do: "wait", time: 1 }, { do: "ask", room: "a", count: 1 }, { do: "again", room: "a", turns: 1 }]
    }));

    test("the session's buffer overflows after a move", () => run({
        plain: false,
        latency: 1,
        resumeBuffer: 400,
        steps: [{ do: "again", room: "b", turns: 1 }, { do: "wait", time: 2_500 }, { do: "cut" }, { do: "move", room: "a", to: "b" }]
    }));

    test("the server joins a room whose history the client does not know", () => run({
        plain: false,
        latency: 0,
        steps: [
            { do: "wait", time: 1_000 },
            { do: "join", room: "b" },
            { do: "move", room: "b", to: "b" },
            { do: "post", room: "b", count: 12 },
            { do: "stop" }
        ]
    }));

    test("members join while an acknowledgement is ambiguous", () => run({
        latency: 1,
        steps: [
            { do: "again", room: "a", turns: 1 },
            { do: "wait", time: 1 },
            { do: "sleep", time: 15_000 },
            { do: "again", room: "a", turns: 1 },
            { do: "other", room: "a", event: "join" }
        ]
    }));

    test("a leave follows messages, and the connection is lost", () => run({
        plain: false,
        latency: 40,
        steps: [
            { do: "again", room: "b", turns: 1 },
            { do: "wait", time: 12_000 },
            { do: "send", room: "b", count: 3 },
            { do: "leave", room: "b" },
            { do: "cut" }
        ]
    }));

    test("the server joins the client to a room with history that it is joining", () => run({
        plain: false,
        latency: 10,
        steps: [
            { do: "wait", time: 1_000 },
            { do: "join", room: "b" },
            { do: "put", room: "b" },
            { do: "post", room: "b", count: 8 }
        ]
    }));

    test("messages arrive during a rejoin", () => run({
        plain: false,
        latency: 0,
        steps: [
            { do: "join", room: "b" },
            { do: "wait", time: 300 },
            { do: "post", room: "b", count: 12 },
            { do: "again", room: "b", turns: 0 }
        ]
    }));

    test("a leave is delayed by a stalled network", () => run({
        latency: 1,
        steps: [
            { do: "wait", time: 2_500 },
            { do: "stall" },
            { do: "join", room: "b" },
            { do: "wait", time: 45_000 },
            { do: "leave", room: "b" }
        ]
    }));
});

describe("the plans themselves", () => {
    test("a seed determines the plan", () => {
        assert.deepEqual(draw(7), draw(7));
        assert.notDeepEqual(draw(7), draw(8));
    });

    test("a failing plan is shrunk", async () => {
        // An unknown step makes the plan fail with its own error, even if other steps surround it.
        const plan = { ...draw(1), steps: [...draw(1).steps, { do: "nonsense" }, ...draw(2).steps] };
        assert.deepEqual((await shrink(plan)).steps, [{ do: "nonsense" }]);
    });
});
