/** Tests of the original client's event emitter. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import emitter from "../src/compat/emitter.js";

const noop = () => {};

/** Returns a listener that records its calls in the log under a name. */
function noting(log, name) {
    return (...args) => log.push([name, ...args]);
}

describe("emitter()", () => {
    test("returns a frozen copy with the methods mixed in", () => {
        const target = { name: "x" };
        const made = emitter(target);
        assert.ok(Object.isFrozen(emitter));
        assert.ok(Object.isFrozen(made));
        assert.notEqual(made, target);
        assert.deepEqual(Object.keys(target), ["name"]);
        assert.deepEqual(Object.keys(made).sort(), [
            "addListener", "emit", "listeners", "name", "off", "on", "once", "removeAllListeners", "removeListener"
        ]);
        assert.equal(made.name, "x");
    });

    for (const target of [undefined, null, 5, true]) {
        test(`works without a target object (${target})`, () => {
            assert.equal(emitter(target).emit("x"), false);
        });
    }

    test("two emitters share nothing", () => {
        const target = {};
        const one = emitter(target).on("x", noop);
        assert.deepEqual(one.listeners("x"), [noop]);
        assert.deepEqual(emitter(target).listeners(), []);
    });
});

describe("listeners", () => {
    test("are called at once, in order, with all arguments", () => {
        const log = [];
        const made = emitter();
        assert.equal(made.on("x", noting(log, "a")), made);
        assert.equal(made.addListener("x", noting(log, "b")), made);
        assert.equal(made.emit("x", 1, undefined, "three"), true);
        assert.deepEqual(log, [["a", 1, undefined, "three"], ["b", 1, undefined, "three"]]);
    });

    test("emit returns true if there were any", () => {
        const made = emitter().on("x", noop);
        assert.equal(made.emit("x"), true);
        assert.equal(made.emit("y"), false);
        made.off("x", noop);
        assert.equal(made.emit("x"), false);
    });

    test("added while emitting are not called in that turn", () => {
        const log = [];
        const made = emitter();
        made.on("x", () => made.on("x", noting(log, "late")));
        made.emit("x");
        assert.deepEqual(log, []);
        made.emit("x");
        assert.deepEqual(log, [["late"]]);
    });

    test("removed while emitting are still called in that turn", () => {
        const log = [];
        const made = emitter();
        const second = noting(log, "second");
        made.on("x", () => made.off("x", second)).on("x", second);
        made.emit("x");
        assert.deepEqual(log, [["second"]]);
        made.emit("x");
        assert.deepEqual(log, [["second"]]);
    });

    test("an exception stops the call and reaches the caller", () => {
        const log = [];
        const made = emitter();
        made.on("x", () => { throw new Error("mine"); }).on("x", noting(log, "after"));
        assert.throws(() => made.emit("x"), /mine/);
        assert.deepEqual(log, []);
    });

    test("a listener added twice is called twice and removed one by one", () => {
        const log = [];
        const made = emitter();
        const twice = noting(log, "twice");
        made.on("x", twice).on("x", twice);
        made.emit("x");
        assert.equal(log.length, 2);
        assert.equal(made.off("x", twice), made);
        assert.deepEqual(made.listeners("x"), [twice]);
        made.removeListener("x", twice);
        assert.deepEqual(made.listeners("x"), []);
    });

    test("event names such as __proto__ are ordinary", () => {
        for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty", ""]) {
            const log = [];
            const made = emitter();
            assert.equal(made.emit(name), false);
            made.on(name, noting(log, name));
            assert.equal(made.emit(name, 1), true);
            assert.deepEqual(log, [[name, 1]]);
        }
    });
});

describe("once", () => {
    test("is removed before it runs", () => {
        const made = emitter();
        const seen = [];
        assert.equal(made.once("x", () => seen.push(made.listeners("x").length)), made);
        assert.equal(made.emit("x"), true);
        assert.equal(made.emit("x"), false);
        assert.deepEqual(seen, [0]);
    });

    test("runs once even if the event is emitted again from inside", () => {
        let calls = 0;
        const made = emitter();
        made.once("x", () => made.emit("x"));
        made.once("x", () => calls++);
        made.emit("x");
        assert.equal(calls, 1);
    });

    test("can be removed by the original function", () => {
        const made = emitter().once("x", noop).off("x", noop);
        assert.equal(made.emit("x"), false);
    });

    test("is listed as the original function", () => {
        assert.deepEqual(emitter().once("x", noop).listeners("x"), [noop]);
    });
});

describe("listeners()", () => {
    test("gives those of one event, or of all, as a copy", () => {
        const [a, b, c] = [() => 1, () => 2, () => 3];
        const made = emitter().on("x", a).on("y", b).on("x", c);
        assert.deepEqual(made.listeners("x"), [a, c]);
        assert.deepEqual(made.listeners(), [a, c, b]);
        assert.deepEqual(made.listeners("z"), []);
        made.listeners("x").length = 0;
        assert.deepEqual(made.listeners("x"), [a, c]);
    });
});

describe("removeAllListeners()", () => {
    test("clears one event", () => {
        const made = emitter().on("x", noop).on("x", noop).on("y", noop);
        assert.equal(made.removeAllListeners("x"), made);
        assert.equal(made.emit("x"), false);
        assert.equal(made.emit("y"), true);
    });

    test("clears everything", () => {
        const made = emitter().on("x", noop).once("y", noop).on("newListener", noop).on("removeListener", noop);
        assert.equal(made.removeAllListeners(), made);
        assert.deepEqual(made.listeners(), []);
    });
});

describe("newListener and removeListener", () => {
    test("newListener comes first, with type and original function", () => {
        const made = emitter();
        const log = [];
        made.on("newListener", (type, fn) => log.push([type, fn, made.listeners(type).length]));
        made.on("x", noop).once("y", noop);
        assert.deepEqual(log, [["x", noop, 0], ["y", noop, 0]]);
    });

    test("removeListener comes after", () => {
        const made = emitter().on("x", noop);
        const log = [];
        made.on("removeListener", (type, fn) => log.push([type, fn, made.listeners(type).length]));
        made.off("x", noop);
        assert.deepEqual(log, [["x", noop, 0]]);
    });

    test("removeListener is emitted for a once listener before it runs", () => {
        const log = [];
        const made = emitter().on("removeListener", noting(log, "removed"));
        const listener = noting(log, "ran");
        made.once("x", listener).emit("x", 1);
        assert.deepEqual(log, [["removed", "x", listener], ["ran", 1]]);
    });

    test("removeListener is emitted for each listener that removeAllListeners removes", () => {
        const log = [];
        const other = () => {};
        const made = emitter().on("removeListener", noting(log, "removed")).on("x", noop).on("y", other);
        made.removeAllListeners();
        assert.deepEqual(log, [["removed", "x", noop], ["removed", "y", other]]);
    });

    test("nothing is emitted for a listener that was not there", () => {
        const log = [];
        const made = emitter().on("removeListener", noting(log, "removed"));
        made.off("x", noop).removeAllListeners("x");
        assert.deepEqual(log, []);
    });
});

describe("wrong arguments are ignored", () => {
    for (const wrong of [undefined, null, 5, {}, ["x"], Symbol("x")]) {
        test(`event ${String(wrong)}`, () => {
            const made = emitter().on("x", noop);
            for (const method of ["on", "addListener", "once", "off", "removeListener"]) {
                assert.equal(made[method](wrong, noop), made);
            }
            assert.equal(made.emit(wrong), false);
            if (wrong !== undefined) {
                assert.equal(made.removeAllListeners(wrong), made);
                assert.deepEqual(made.listeners(wrong), []);
            }
            assert.deepEqual(made.listeners(), [noop]);
        });
    }

    for (const wrong of [undefined, null, 5, "noop", {}]) {
        test(`listener ${wrong}`, () => {
            const made = emitter().on("x", noop);
            for (const method of ["on", "addListener", "once", "off", "removeListener"]) {
                assert.equal(made[method]("x", wrong), made);
            }
            assert.deepEqual(made.listeners(), [noop]);
        });
    }
});
