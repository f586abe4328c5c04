/**
 * The feature that renews logins: the server asks for a new token before the login expires.
 *
 * @module renewal
 */

import { check, wrap } from "./error.js";
import { EXPIRING, TOKEN } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js */
export const renewal = ({ outbox, report, id, token }) => {
    const renew = async () => {
        const askedAs = id();
        try {
            const pass = await (typeof token === "function" ? token() : token);
            check(pass != null, "no token");
            // A session that has begun meanwhile has its own login.
            askedAs === id() && outbox.post(TOKEN, toBytes(pass));
        } catch (cause) {
            report(wrap("token", cause));
        }
    };
    return {
        packet({ event, from }) {
            event === EXPIRING && !from && renew();
        }
    };
};
