/** Tests of the chat page's frames in virtual time: the changes in each frame, and the number of frames during a flood. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const FRAME = 16;

let now = 0;
let timers = [];

function after(delay, run) {
    const timer = { at: now + delay, run };
    timers.push(timer);
    return timer;
}

const cancel = (timer) => void (timers = timers.filter((each) => each !== timer));

/** Advances the time, and calls `each` every millisecond. */
function pass(milliseconds, each = () => {}) {
    for (const end = now + milliseconds; now < end; now++) {
        each(now);
        const due = timers.filter(({ at }) => at <= now);
        timers = timers.filter(({ at }) => at > now);
        due.forEach(({ run }) => run());
    }
}

const pictures = [];
globalThis.document = { hidden: false, addEventListener() {} };
globalThis.requestAnimationFrame = (run) => after(FRAME - (now % FRAME), () => (pictures.push([]), run()));
globalThis.cancelAnimationFrame = cancel;
Object.assign(globalThis, { setTimeout: (run, delay) => after(delay, run), clearTimeout: cancel });
performance.now = () => now;
const { paint, paintNews, scroll } = await import("../chat/frame.js");

const named = (name) => () => void pictures.at(-1).push(name);

beforeEach(() => {
    pass(1_000);
    pictures.length = 0;
});

test("changes are applied once per frame, before scrolling", () => {
    const [a, b, end] = ["a", "b", "end"].map(named);
    scroll(end);
    [a, b, a].forEach(paint);
    pass(100);
    assert.deepEqual(pictures, [["a", "b", "end"]]);
});

test("a few changes are shown in the next frame", () => {
    const news = named("news");
    pass(300, (time) => time % 150 === 0 && paintNews(news));
    pass(FRAME);
    assert.deepEqual(pictures, [["news"], ["news"]]);
});

test("a flood of changes renders five frames per second, including the last", () => {
    let count = 0;
    const shown = [];
    const news = () => void shown.push(count);
    pass(1_000, () => (count++, paintNews(news)));
    pass(300);
    assert.equal(shown.at(-1), 1_000);
    assert.ok(shown.length <= 6, `pictures after ${shown} news`);
});

test("one change per frame counts as a flood", () => {
    const news = named("news");
    pass(1_600, (time) => time % FRAME === 0 && paintNews(news));
    assert.ok(pictures.length <= 50, `${pictures.length} pictures for 100 news`);
});

test("a change spanning several frames completes, in a flood after the pause", () => {
    let left = 3;
    const slices = () => --left && paintNews(slices);
    paintNews(slices);
    pass(4 * FRAME);
    assert.deepEqual([left, pictures.length], [0, 3]);
    const news = named("news");
    for (let n = 0; n < 10; n++) {
        paintNews(news);
    }
    left = 2;
    paintNews(slices);
    pass(4 * FRAME);
    assert.equal(left, 1);
    pass(200);
    assert.equal(left, 0);
});

test("user actions are shown immediately during a flood", () => {
    const [news, own, both] = ["news", "own", "both"].map(named);
    for (let n = 0; n < 10; n++) {
        paintNews(news);
    }
    pass(FRAME + 1);
    [news, both].forEach(paintNews);
    [own, both].forEach(paint);
    pass(FRAME + 1);
    assert.deepEqual(pictures, [["news"], ["own", "both"]]);
    pass(300);
    assert.deepEqual(pictures, [["news"], ["own", "both"], ["news"]]);
});
