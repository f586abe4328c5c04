/**
 * Time that passes only when a test says so.
 *
 * @module testkit/clock
 */

/** The real one, even if a test framework puts a fake in its place later. */
const { setTimeout: realTimeout } = globalThis;

/** Lets promises run till nothing is left that could run without time passing. */
function realTurn() {
    return new Promise((resolve) => realTimeout(resolve, 0));
}

/** @param {{settle?: () => Promise<void>}} [settings] how to wait for promises of others; without it a turn of the real time passes */
export function createClock({ settle = realTurn } = {}) {
    let now = 0;
    let lastId = 0;
    /** What timers have thrown, until advance() can say so. */
    const errors = [];
    /** In the order they were set, which is the order in which those of one moment run. */
    const timers = new Map();

    /** The timer that is due first, up to a moment. */
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

    /** Runs what is due until a moment, with some turns for promises in between. */
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
                await null;
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
        /** Timers that wait. */
        pending: () => timers.size,
        /** Lets time pass, and everything happen that is due meanwhile. */
        async advance(milliseconds = 0) {
            const target = now + milliseconds;
            do {
                await settle();
            } while (await run(target));
            now = Math.max(now, target);
            if (errors.length) {
                throw errors.splice(0)[0];
            }
        },
        /** Stands still: time passes, and only then runs, once and late, what was due meanwhile. */
        sleep(milliseconds) {
            now += milliseconds;
            [...timers.values()].filter(({ at }) => at <= now).sort((a, b) => a.at - b.at).forEach((timer) => timers.has(timer.id) && fire(timer));
        }
    };
}
