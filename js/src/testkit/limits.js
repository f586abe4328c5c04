/** A client's rate limits: token buckets, as in a real server.
 *
 * @module testkit/limits
 */

/**
 * The rates that are not settings: for the errors that explain rejected packets other than requests, for info changes, and for
 * joins that request past messages.
 */
const RATES = { error: { perSecond: 16 }, info: { perSecond: 1, burst: 16 }, recall: { perSecond: 1, burst: 16 } };

/**
 * Returns the functions that take a token from one of a connection's buckets, by the limit's name: for the given rates and for
 * RATES.
 */
export function createTakes(rates, now) {
    const take = (rate) => createBucket(rate, now);
    return { message: take(rates.message), bytes: take(rates.bytes), join: take(rates.join), violation: take(rates.violation), error: take(RATES.error), info: take(RATES.info), recall: take(RATES.recall) };
}

/**
 * @param {{perSecond: number, burst?: number} | undefined} rate no limit if undefined
 * @param {() => number} now
 * @returns {(count?: number) => boolean} a function that takes a number of tokens, one by default; if there are fewer, it takes
 * none and returns false
 */
function createBucket(rate, now) {
    if (!rate) {
        return () => true;
    }
    const { perSecond, burst = perSecond } = rate;
    let level = burst;
    let at = now();
    return (count = 1) => {
        level = Math.min(burst, level + ((now() - at) / 1_000) * perSecond);
        at = now();
        const fits = level >= count;
        level -= fits ? count : 0;
        return fits;
    };
}
