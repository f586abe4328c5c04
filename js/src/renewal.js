/**
 * The feature that renews logins: the server requests a new token before the login expires.
 *
 * @module renewal
 */

import { resolve } from "./connection.js";
import { check, wrap } from "./error.js";
import { takePackets } from "./feature.js";
import { EXPIRING, TOKEN } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js */
export function renewal(core) {
    const renew = async () => {
        const askedAs = core.client.id;
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
        event === EXPIRING && !from && renew();
    });
}
