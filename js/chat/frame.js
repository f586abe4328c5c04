/**
 * Work for the next animation frame. Changes of the page come first, scrolling comes last: scrolling measures the page, so there is
 * one layout for each frame, however much has happened since the last one. In a flood of changes there are fewer frames.
 *
 * @module frame
 */

/** How long a page that is not on screen collects work, in milliseconds: browsers render no frames for it. */
const HIDDEN_DELAY = 250;

/** More changes than this within a pause are a flood: more than a reader can follow. A join is up to three changes. */
const FLOOD = 6;

/** The time without frames after each frame of a flood, in milliseconds. */
const PAUSE = 200;

const changes = new Set();
/** By function, the number of changes that it shows. */
const news = new Map();
const scrolls = new Set();
let cancel = null;
/** The number of changes shown since `since`. */
let recent = 0;
let since = -PAUSE;
let isPaused = false;

/** Runs a function before the next frame, once, however often it is requested. */
export function paint(change) {
    changes.add(change);
    cancel ?? schedule();
}

/** Runs a function before the next frame that may show changes: the next one, but in a flood a later one. */
export function paintNews(change) {
    news.set(change, (news.get(change) ?? 0) + 1);
    isPaused || (cancel ?? schedule());
}

/** Runs a function before the next frame, after all changes. */
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

/** Counts the changes of this frame. */
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
    // Until the end `cancel` prevents a request for one more frame by the functions that run here.
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
