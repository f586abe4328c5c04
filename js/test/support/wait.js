/** Functions that wait for conditions. */

const DEADLINE = 45_000;

/**
 * Checks a condition repeatedly until its result is truthy. Returns that result.
 *
 * @param {string} what describes the condition in the error message
 * @param {() => any} condition may be asynchronous
 */
export async function eventually(what, condition) {
    const end = Date.now() + DEADLINE;
    for (;;) {
        const value = await condition();
        if (value) {
            return value;
        }
        if (Date.now() > end) {
            throw new Error(`${what}: not within ${DEADLINE / 1000} seconds`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}
