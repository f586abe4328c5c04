/** The feature behind `room.sent`.
 *
 * @module receipts
 */

import { extendRooms } from "./feature.js";

/** @param {object} core see core.js */
export function receipts(core) {
    const { transmit, settled, lost } = core;
    extendRooms(core, (room) => {
        Object.defineProperty(room.api, "sent", {
            get: async () => {
                const items = [...core.queue, ...core.sent].filter((item) => item.owner === room && "payload" in item);
                const results = items.map((item) => (item.result ??= new Promise((resolve) => (item.report = resolve))));
                if (items.length) {
                    core.isAwaited = true;
                    core.pump();
                }
                return (await Promise.all(results)).every(Boolean);
            }
        });
    });
    Object.assign(core, {
        transmit(item) {
            core.isAwaited ||= item.report;
            transmit(item);
        },
        settled(items, isLost) {
            isLost || items.forEach((item) => item.report?.(true));
            settled(items, isLost);
        },
        lost(item, ...details) {
            item.report?.(false);
            lost(item, ...details);
        }
    });
}
