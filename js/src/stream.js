/**
 * Messages for `for await`.
 *
 * @module stream
 */

/**
 * Collects from now on, whether somebody iterates yet or not. When the reader falls behind, the oldest messages make way;
 * the next one tells in `missed` how many.
 *
 * @param {ReturnType<typeof import("./events.js").createEvents>} events
 * @param {string} event
 * @param {{signal?: AbortSignal, buffer?: number}} options
 * @param {boolean} over the room is closed already
 */
export function createStream(events, event, { signal, buffer = 256 } = {}, over) {
    const waiting = [];
    let missed = 0;
    let wake = () => {};

    const offMessage = events.on(event, (payload, from, direct) => {
        waiting.push({ event, payload, from, direct, missed: 0 });
        if (waiting.length > buffer) {
            waiting.shift();
            missed += 1;
        }
        wake();
    });
    const offClose = events.on("close", end);
    signal?.addEventListener("abort", cancel);

    /** What has come in is still handed out. */
    function end() {
        over = true;
        offMessage();
        offClose();
        signal?.removeEventListener("abort", cancel);
        wake();
    }

    function cancel() {
        waiting.length = 0;
        end();
    }

    if (signal?.aborted) {
        cancel();
    } else if (over) {
        end();
    }

    return (async function* () {
        try {
            while (waiting.length || !over) {
                if (waiting.length) {
                    const message = { ...waiting.shift(), missed };
                    missed = 0;
                    yield message;
                } else {
                    await new Promise((resolve) => (wake = resolve));
                }
            }
        } finally {
            cancel();
        }
    })();
}
