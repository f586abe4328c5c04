/**
 * What a page costs the browser, of the browser's own counting.
 */

import assert from "node:assert/strict";

/** What the page's main thread does while `body` runs: layouts, pictures and milliseconds. */
export async function costs(person, body) {
    const session = await person.page.context().newCDPSession(person.page);
    await session.send("Performance.enable");
    const read = async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
    await person.page.evaluate(() => {
        window.pictures = 0;
        const count = () => (window.pictures++, requestAnimationFrame(count));
        requestAnimationFrame(count);
    });
    const start = await read();
    await body();
    const end = await read();
    const pictures = await person.page.evaluate(() => window.pictures);
    return { pictures, layouts: end.LayoutCount - start.LayoutCount, milliseconds: Math.round((end.TaskDuration - start.TaskDuration) * 1_000) };
}

/** Each picture has one layout at most; some come without any, and the log's own scrolling may ask for a few more. */
export function judge(t, page, { pictures, layouts, milliseconds }) {
    t.diagnostic(`${page}: ${layouts} layouts in ${pictures} pictures, ${milliseconds} ms of main thread`);
    assert.ok(layouts <= pictures + 10, `${page}: ${layouts} layouts in ${pictures} pictures`);
}
