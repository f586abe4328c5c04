/** Keeps one kind of packet within one of the server's rates: a burst of packets, and then one per second.
 *
 * The server would reject packets above the rate.
 *
 * @module pace
 */

const INTERVAL = 1_000;

/**
 * @param {import("./index.js").Clock} clock
 * @param {number} most the number of packets in a burst
 * @param {() => void} act called when take() would succeed again after it has failed
 */
export function createPace(clock, most, act) {
    let level = most;
    let at = clock.now();
    let timer;

    const pace = {
        /**
         * Returns true if a packet may be sent now. While the server has not answered earlier packets (`isBehind`), it may not have
         * counted them yet, so the passing time permits no further packets.
         */
        take(isBehind) {
            level = isBehind ? level : Math.min(most, level + (clock.now() - at) / INTERVAL);
            at = clock.now();
            if (level >= 1) {
                level--;
                return true;
            }
            timer ??= clock.setTimeout(() => {
                timer = undefined;
                act();
            }, Math.ceil((1 - level) * INTERVAL));
            return false;
        },
        /** Called with the answer to a packet, which shows whether the server has counted the packet. */
        answered(isCounted) {
            pace.set(isCounted ? level : level + 1);
        },
        /** Sets the number of packets that may be sent in a burst. */
        set(number) {
            level = number;
            at = clock.now();
        },
        /** Permits a full burst again, and stops the timer. Called when the connection is lost or closed. */
        reset() {
            clock.clearTimeout(timer);
            timer = undefined;
            pace.set(most);
        }
    };
    return pace;
}
