/**
 * The feature `client.setInfo()`.
 *
 * @module own-info
 */

import { INFO } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js. The info is sent again in each new session. */
export const ownInfo = ({ outbox, session }) => {
    let text;
    const send = () => text && outbox.post(INFO, toBytes(text));
    return {
        client(client) {
            client.setInfo = (value) => {
                text = JSON.stringify(value ?? null);
                session.isOn && send();
            };
        },
        greeted(hello) {
            hello && !hello.resumed && send();
        }
    };
};
