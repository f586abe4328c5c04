/**
 * The rates that a server announces in `hello`, and how much of them the client has used: part of the feature of sessions.
 *
 * The server counts a packet when it arrives, which the client does not know: the packets of a minute may arrive at once. So the
 * client counts what is not confirmed as if all of it arrived together with the next packet, and what is confirmed as if it had
 * arrived at the moment of the confirmation. Whatever the network does, the server has counted no more.
 *
 * @module rates
 */

/**
 * The time in which a rate of one per second adds a token: longer than a second, since clocks differ, and a server may handle a packet
 * by the time of a moment before.
 */
const SECOND = 1_050;

/** What a packet takes of each rate. */
const COSTS = {
    message_rate: () => 1,
    byte_rate: ({ data }) => data.length,
    join_rate: ({ event }) => +(event === "join")
};

/** @param {object} core see core.js */
export function createGate(core) {
    const { clock } = core;
    /** A rate is `{ cost, speed, burst, fullAt }`: its bucket is full at that time, if nothing else is confirmed. */
    let rates = [];
    /** True if packets were sent since the server was last asked for a confirmation. */
    let hasNew;
    let timer;

    const stop = () => {
        clock.clearTimeout(timer);
        hasNew = true;
    };

    return {
        stop,
        /** Begins with what a server has announced. Before that, the rates of the last session count. */
        begin(limits) {
            rates = limits ? Object.keys(COSTS).map((key) => ({ cost: COSTS[key], speed: limits[key]?.[0], burst: limits[key]?.[1] })).filter(({ speed, burst }) => speed > 0 && burst > 0) : rates;
            rates.forEach((rate) => (rate.fullAt = 0));
        },
        /** Handles the confirmation of a packet. */
        confirmed(item) {
            rates.forEach((rate) => (rate.fullAt = Math.max(rate.fullAt, clock.now()) + (rate.cost(item) * SECOND) / rate.speed));
        },
        /** Returns true if a packet may be sent now. Otherwise it has the queue looked at again in time. */
        admits(item) {
            const times = rates.map(({ cost, speed, burst, fullAt }) => {
                const used = cost(item) && [...core.sent].reduce((sum, each) => sum + cost(each), 0);
                const spare = burst - used - cost(item);
                // In time, so that the answer is there before all is used. Before hello, a question would be a packet of its own.
                if (used && hasNew && core.isOn && spare < burst / 2) {
                    hasNew = false;
                    core.probe();
                }
                // NaN if only a confirmation helps. A packet larger than the burst goes alone, so that the server decides.
                return cost(item) && (used && spare < 0 ? NaN : fullAt - (spare * SECOND) / speed);
            });
            const delay = Math.max(0, ...times) - clock.now();
            if (delay <= 0) {
                return (hasNew = true);
            }
            clock.clearTimeout(timer);
            timer = delay && clock.setTimeout(core.pump, delay);
        }
    };
}
