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
                const results = outbox.await(room).map((item) => (item.result ??= new Promise((resolve) => (item.report = resolve))));
                return (await Promise.all(results)).every(Boolean);
            }
        });
    }
});
