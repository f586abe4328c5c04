/**
 * What waits for the connection to come back, bounded.
 *
 * @module queue
 */

/**
 * Takes messages until one of the limits is reached, and refuses later ones: what has been taken keeps its place.
 *
 * @param {{messages?: number, bytes?: number}} [limits]
 */
export function createQueue({ messages = 1000, bytes = 2 ** 20 } = {}) {
    let items = [];
    let size = 0;

    function keep(chosen) {
        items = chosen;
        size = items.reduce((sum, { data }) => sum + data.length, 0);
    }

    return {
        bytes,
        /** Tells whether there was space. */
        push(room, data) {
            const fits = items.length < messages && size + data.length <= bytes;
            if (fits) {
                items.push({ room, data });
                size += data.length;
            }
            return fits;
        },
        /** Takes out everything. */
        takeAll() {
            const all = items;
            keep([]);
            return all;
        },
        /** Forgets what was for this room. */
        drop: (room) => keep(items.filter((item) => item.room !== room))
    };
}
