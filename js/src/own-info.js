/**
 * The feature behind `client.setInfo()`.
 *
 * @module own-info
 */

import { HELLO, INFO } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js. The info is sent again in each new session. */
export function ownInfo(core) {
    let text;
    const send = () => text && core.post(INFO, toBytes(text));
    core.client.setInfo = (value) => {
        text = JSON.stringify(value ?? null);
        core.isOn && send();
    };
    core.client.on(HELLO, (hello) => hello && !hello.resumed && send());
}
