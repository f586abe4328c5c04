/**
 * Work for the next picture. What changes the page comes first, what scrolls comes last: scrolling measures the page, and
 * so there is one layout for each picture, however much has happened since the one before.
 *
 * @module frame
 */

/** How long a page that is not on screen collects work, in milliseconds: browsers draw no pictures for it. */
const HIDDEN_DELAY = 250;

const changes = new Set();
const scrolls = new Set();
let cancel = null;

/** Runs a function before the next picture, once, however often it is asked for. */
export function paint(change) {
    changes.add(change);
    cancel ?? schedule();
}

/** Runs a function before the next picture, when all that is painted has been. */
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

function run() {
    // Until the end `cancel` keeps those that run here from asking for one more picture.
    for (const tasks of [changes, scrolls]) {
        const due = [...tasks];
        tasks.clear();
        due.forEach((task) => task());
    }
    cancel = null;
    if (changes.size || scrolls.size) {
        schedule();
    }
}

document.addEventListener("visibilitychange", () => {
    if (cancel) {
        cancel();
        schedule();
    }
});
