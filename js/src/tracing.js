/** The feature behind the `debug` option, which records each step.
 *
 * @module tracing
 */

import { PROBE } from "./limits.js";

/** @param {object} core see core.js */
export function tracing(core) {
    const { debug } = core;
    if (debug) {
        const plain = { ...core };
        // Register the function as a listener so that errors that it throws are reported like those of other listeners.
        core.client.on(PROBE, debug === true ? console.debug : debug);
        // Omit the payload, which may be confidential.
        const trace = (what, { payload, ...details }) => core.emit(PROBE, { what, ...details });
        core.client.on("lost", (message) => trace("lost", message));
        core.client.on("overflow", (message) => trace("dropped", message));
        Object.assign(core, {
            decode(data) {
                const packet = plain.decode(data);
                trace("received", { ...packet, bytes: packet.payload.length });
                return packet;
            },
            transmit(item) {
                const { room, event, to, data } = item;
                trace("sent", { room, event, to, bytes: data.length });
                plain.transmit(item);
            },
            toAddress(...args) {
                const address = plain.toAddress(...args);
                // start() also calls this function, to check the address before the state is `connecting`.
                core.state === "connecting" && trace("connect", { url: address.split("?")[0] });
                return address;
            },
            changed(state, error) {
                trace("state", { state, error });
                plain.changed(state, error);
            }
        });
    }
}
