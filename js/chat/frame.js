/** Batches DOM work for the next animation frame.
 *
 * Within a frame, changes run before scrolling: scrolling measures the page, so each frame needs only one layout, however many
 * changes it contains. During a flood of changes, the page renders fewer frames.
 *
 * @module frame
 */

/** The time for which a hidden page collects work, in milliseconds, since browsers render no frames for it. */
const HIDDEN_DELAY = 250;

/**
 * If more changes than this arrive within a pause, they count as a flood, which a reader cannot follow. A join causes up to three
 * changes.
 */
const FLOOD = 6;

/** The minimum time between two frames during a flood, in milliseconds. */
const PAUSE = 200;

const changes = new Set();
/** For each function that waits for a frame: the number of changes that it will show. */
const news = new Map();
const scrolls = new Set();
let cancel = null;
/** The number of changes shown since the time in `since`. */
let recent = 0;
let since = -PAUSE;
let isPaused = false;

/** Runs a function once before the next frame, however often it is requested. */
export function paint(change) {
    changes.add(change);
    cancel ?? schedule();
}

/** Runs a function before the next frame, or before a later frame during a flood. */
export function paintNews(change) {
    news.set(change, (news.get(change) ?? 0) + 1);
    isPaused || (cancel ?? schedule());
}

/** Runs a function before the next frame, after all functions that change the page. */
export function scroll(action) {
    scrolls.add(action);
    cancel ?? schedule();
}

function schedule() {
    if (document.hidden) {
        const timer = setTimeout(run, HIDDEN_DELAY);
        cancel = () => clearTimeout(timer);
    } else {
        const request = requestAnimationFrame(run);
        cancel = () => cancelAnimationFrame(request);
    }
}

/** Adds the functions for news to this frame's changes, and counts what they will show. */
function takeNews() {
    const now = performance.now();
    if (now - since >= PAUSE) {
        [since, recent] = [now, 0];
    }
    recent += Math.max(0, ...news.values());
    if (recent > FLOOD) {
        isPaused = true;
        setTimeout(() => {
            isPaused = false;
            news.size && (cancel ?? schedule());
        }, PAUSE);
    }
    [...news.keys()].forEach((change) => changes.add(change));
}

function run() {
    if (news.size && !isPaused) {
        takeNews();
    }
    // While `cancel` is set, a function that requests another frame does not schedule it; that happens below.
    for (const tasks of [changes, scrolls]) {
        const due = [...tasks];
        tasks.clear();
        due.forEach((task) => {
            news.delete(task);
            task();
        });
    }
    cancel = null;
    if (changes.size || scrolls.size || (news.size && !isPaused)) {
        schedule();
    }
}

document.addEventListener("visibilitychange", () => {
    if (cancel) {
        cancel();
        schedule();
    }
});
