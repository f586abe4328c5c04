/**
 * Waiting for conditions.
 */

const DEADLINE = 45_000;

/**
 * Checks a condition repeatedly until it is true, and returns its result.
 *
 * @param {string} what the condition, for the message if it does not become true
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
