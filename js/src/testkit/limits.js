/**
 * A client's rate limit: a token bucket, as in the real server.
 *
 * @module testkit/limits
 */

/**
 * @param {{perSecond: number, burst?: number} | undefined} rate undefined means no limit
 * @param {() => number} now
 * @returns {() => boolean} a function that takes one token, and returns false if there is none
 */
export function createBucket(rate, now) {
    if (!rate) {
        return () => true;
    }
    const { perSecond, burst = perSecond } = rate;
    let level = burst;
    let at = now();
    return () => {
        level = Math.min(burst, level + ((now() - at) / 1_000) * perSecond);
        at = now();
        const fits = level >= 1;
        level -= fits ? 1 : 0;
        return fits;
    };
}
