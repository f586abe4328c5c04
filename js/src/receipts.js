/**
 * The feature `room.sent`.
 *
 * @module receipts
 */

/** @param {object} core see core.js */
export const receipts = ({ outbox }) => ({
    room(room) {
        Object.defineProperty(room.api, "sent", {
            get: async () => {
                const items = [...outbox.queue, ...outbox.sent].filter((item) => item.owner === room && "payload" in item);
                const results = items.map((item) => (item.result ??= new Promise((resolve) => (item.report = resolve))));
                items.length && outbox.hurry();
                return (await Promise.all(results)).every(Boolean);
            }
        });
    }
});
