/**
 * The feature behind `client.setInfo()`.
 *
 * @module own-info
 */

import { json } from "./codec.js";
import { HELLO, INFO } from "./limits.js";

/** @param {object} core see core.js */
export function ownInfo(core) {
    let info;
    core.client.setInfo = (value) => {
        const bytes = json.encode(value ?? null);
        core.isOn && core.post(INFO, bytes);
        // Store the info after post(), which throws if the packet is too large. Each new session sends the stored info again.
        info = bytes;
    };
    core.client.on(HELLO, (hello) => hello && !hello.resumed && info && core.post(INFO, info));
}
