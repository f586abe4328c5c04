/**
 * The feature `client.setInfo()`.
 *
 * @module own-info
 */

import { INFO, ROOT } from "./limits.js";
import { encode, toBytes } from "./packet.js";

/** @param {object} core see core.js. The info is sent again in each new session. */
export const ownInfo = ({ outbox, session, isPlain }) => {
    let text;
    const send = () => text && outbox.post({ room: ROOT, event: INFO, data: encode(ROOT, INFO, "", "", toBytes(text)) });
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
