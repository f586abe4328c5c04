/** Measures the costs of a page with the browser's own counters. */

import assert from "node:assert/strict";

/**
 * Measures the page's main thread while `body` runs: the number of layouts and frames, and the elapsed time, the time in tasks
 * and the CPU time in tasks, in milliseconds.
 */
export async function costs(person, body) {
    const meter = async (timeDomain) => {
        const session = await person.page.context().newCDPSession(person.page);
        await session.send("Performance.enable", { timeDomain });
        return async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
    };
    const [read, readCpu] = [await meter("timeTicks"), await meter("threadTicks")];
    await person.page.evaluate(() => {
        window.pictures = 0;
        const count = () => (window.pictures++, requestAnimationFrame(count));
        requestAnimationFrame(count);
    });
    const [start, startCpu] = [await read(), await readCpu()];
    await body();
    const [end, endCpu] = [await read(), await readCpu()];
    const pictures = await person.page.evaluate(() => window.pictures);
    const layouts = end.LayoutCount - start.LayoutCount;
    const milliseconds = (from, to, name) => Math.round((to[name] - from[name]) * 1_000);
    const [task, cpu] = [milliseconds(start, end, "TaskDuration"), milliseconds(startCpu, endCpu, "TaskDuration")];
    return { pictures, layouts, elapsed: milliseconds(start, end, "Timestamp"), task, cpu };
}

/**
 * Checks that there is about one layout per frame. Some frames need none, and the log's own scrolling may cause up to ten more.
 */
export function judge(t, page, { pictures, layouts, task, cpu }) {
    t.diagnostic(`${page}: ${layouts} layouts in ${pictures} pictures, ${task} ms of main thread, ${cpu} ms of CPU`);
    assert.ok(layouts <= pictures + 10, `${page}: ${layouts} layouts in ${pictures} pictures`);
}
