/**
 * The feature behind `client.setInfo()`.
 *
 * @module own-info
 */

import { json } from "./codec.js";
import { HELLO, INFO } from "./limits.js";

/** @param {object} core see core.js. The info is sent again in each new session. */
export function ownInfo(core) {
    let info;
    core.client.setInfo = (value) => {
        const bytes = json.encode(value ?? null);
        core.isOn && core.post(INFO, bytes);
        // Store the info only if it was not rejected.
        info = bytes;
    };
    core.client.on(HELLO, (hello) => hello && !hello.resumed && info && core.post(INFO, info));
}
