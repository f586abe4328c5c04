/**
 * Waiting for what must come to be.
 */

const DEADLINE = 45_000;

/**
 * Asks again and again until the answer is true, and returns it.
 *
 * @param {string} what is waited for, for the message when it does not come
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
