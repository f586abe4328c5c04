/** The feature behind `client.setInfo()`.
 *
 * The server limits how often a client may change its info. Above that rate the client sends only the newest info, as soon as
 * the server accepts it.
 *
 * @module own-info
 */

import { json } from "./codec.js";
import { takeRejections } from "./feature.js";
import { HELLO, INFO, LONGEST_PAUSE, MOST_CHANGES } from "./limits.js";
import { createPace } from "./pace.js";

/** @param {object} core see core.js */
export function ownInfo(core) {
    const plain = { ...core };
    /** The newest info. */
    let info;
    /** True if the newest info must be sent. */
    let isDue;
    /** The latest packet with info, until it is acknowledged. Until it is sent, newer info replaces its content. */
    let latest;
    /** The number of seconds to wait after the next rejection. */
    let pause = 1;

    const pace = createPace(core.clock, MOST_CHANGES, send);

    function send() {
        if (latest && !latest.isSent) {
            latest.data = core.createItem(INFO, info).data;
        } else if (isDue && core.isOn && pace.take()) {
            isDue = false;
            latest = core.post(INFO, info);
        }
    }

    core.client.setInfo = (value) => {
        const bytes = json.encode(value ?? null);
        // Throws if the packet is too large.
        core.createItem(INFO, bytes);
        info = bytes;
        isDue = true;
        send();
    };
    // Each new session sends the stored info again.
    core.client.on(HELLO, (hello) => {
        isDue ||= hello && !hello.resumed && info;
        send();
    });
    Object.assign(core, {
        transmit(item) {
            item.isSent = true;
            plain.transmit(item);
        },
        settled(items, isLost) {
            if (items.includes(latest)) {
                // A rejection would have arrived before the acknowledgement.
                pause = isLost || latest.isRejected ? pause : 1;
                latest = undefined;
            }
            plain.settled(items, isLost);
        },
        disconnected(isTooFast) {
            // A packet that was sent is sent again if the session is resumed.
            latest = latest?.isSent ? latest : undefined;
            pace.reset();
            plain.disconnected(isTooFast);
        }
    });
    takeRejections(core, ({ code, event, more }) => {
        // Until it is acknowledged, the info may be among the packets without errors of their own.
        if (more ? latest : event === INFO && code === "busy") {
            isDue = info;
            latest && (latest.isRejected = true);
            // Permits the next packet after the pause.
            pace.set(1 - pause);
            pause = Math.min(more ? pause : 2 * pause, LONGEST_PAUSE);
            send();
        }
    });
}
