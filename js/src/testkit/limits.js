/**
 * How much a client may send: a bucket that fills with time, as the real server's.
 *
 * @module testkit/limits
 */

/**
 * @param {{perSecond: number, burst?: number} | undefined} rate undefined is no limit
 * @param {() => number} now
 * @returns {() => boolean} takes one; false if that is too many
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
