/** A virtual clock, whose time passes only in `advance()` and `sleep()`.
 *
 * @module testkit/clock
 */

import { check, rejectUnknown } from "../error.js";
import { readOptions } from "../options.js";

/** The real setTimeout(), even if a test framework replaces the global function later. */
const { setTimeout: realTimeout } = globalThis;

/** Waits for one turn of the event loop, which runs all pending promises that do not depend on time. */
function realTurn() {
    return new Promise((resolve) => realTimeout(resolve, 0));
}

/** A resolved promise, for waiting one turn of the microtask queue. */
const turned = Promise.resolve();

function checkTime(milliseconds) {
    check(Number.isFinite(milliseconds) && milliseconds >= 0, "the time must be a number of milliseconds from 0");
}

/**
 * @param {{settle?: () => Promise<void>}} [settings] `settle` waits for promises that do not depend on this clock; by default,
 * for one turn of the event loop
 */
export function createClock(settings) {
    const { settle = realTurn, ...others } = readOptions(settings);
    rejectUnknown(others);
    check(typeof settle === "function", '"settle" must be a function');
    let now = 0;
    let lastId = 0;
    /** Errors thrown by timers. advance() throws the first of them. */
    const errors = [];
    /** The timers, in the order of creation. Timers due at the same time run in this order. */
    const timers = new Map();

    /** Returns the timer that is due first, unless it is due later than the given time. */
    function nextDue(until) {
        let found;
        for (const timer of timers.values()) {
            if (timer.at <= until && !(timer.at >= found?.at)) {
                found = timer;
            }
        }
        return found;
    }

    function fire(timer) {
        timers.delete(timer.id);
        try {
            timer.action();
        } catch (error) {
            errors.push(error);
        }
    }

    /** Runs the timers that are due up to the given time, with turns for promises in between. Returns true if any timer ran. */
    async function run(until) {
        let ran = false;
        for (let timer = nextDue(until); timer; timer = nextDue(until)) {
            ran = true;
            now = Math.max(now, timer.at);
            const moment = now;
            for (timer = nextDue(moment); timer; timer = nextDue(moment)) {
                fire(timer);
            }
            for (let turn = 0; turn < 10; turn++) {
                await turned;
            }
        }
        return ran;
    }

    return {
        now: () => now,
        setTimeout(action, delay = 0) {
            const id = ++lastId;
            timers.set(id, { id, at: now + Math.max(0, delay), action });
            return id;
        },
        clearTimeout: (id) => void timers.delete(id),
        /** Returns the number of pending timers. */
        pending: () => timers.size,
        /** Advances the time, and runs all timers that are due by then. */
        async advance(milliseconds = 0) {
            checkTime(milliseconds);
            const target = now + milliseconds;
            do {
                await settle();
            } while (await run(target));
            now = Math.max(now, target);
            if (errors.length) {
                throw errors.splice(0)[0];
            }
        },
        /** Simulates a suspended program: the time advances first, and then each due timer runs once, late. */
        sleep(milliseconds) {
            checkTime(milliseconds);
            now += milliseconds;
            [...timers.values()].filter(({ at }) => at <= now).sort((a, b) => a.at - b.at).forEach((timer) => timers.has(timer.id) && fire(timer));
        }
    };
}
