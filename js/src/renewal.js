/** The feature that renews logins: the server requests a new token before the login expires.
 *
 * However often it does, the client obtains one at most every two seconds, since a new token may expire at the same time as the
 * last one.
 *
 * @module renewal
 */

import { resolve } from "./connection.js";
import { check, wrap } from "./error.js";
import { takePackets } from "./feature.js";
import { EXPIRING, RENEWAL_PAUSE, TOKEN } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js */
export function renewal(core) {
    const plain = { ...core };
    let nextAt = -Infinity;
    let timer;

    const renew = async () => {
        const askedAs = core.client.id;
        timer = undefined;
        nextAt = core.clock.now() + RENEWAL_PAUSE;
        try {
            const pass = await resolve(core.token);
            check(pass != null, "no token");
            // If a new session has started in the meantime, it has its own login, and this token is not needed.
            askedAs === core.client.id && core.post(TOKEN, toBytes(pass));
        } catch (cause) {
            core.report(wrap("token", cause));
        }
    };
    takePackets(core, ({ event, from }) => {
        if (event === EXPIRING && !from) {
            const delay = nextAt - core.clock.now();
            delay > 0 ? timer ??= core.clock.setTimeout(renew, delay) : renew();
        }
    });
    core.disconnected = (isTooFast) => {
        // The session that has ended does not need a token.
        core.clock.clearTimeout(timer);
        timer = undefined;
        plain.disconnected(isTooFast);
    };
}
