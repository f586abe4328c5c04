/**
 * The feature behind the option `debug`: a record of each step.
 *
 * @module tracing
 */

import { PROBE } from "./limits.js";

/** @param {object} core see core.js */
export const tracing = ({ debug, emit }) => ({
    client(client) {
        // A listener like others, so that an error in it is reported.
        debug && client.on(PROBE, debug === true ? console.debug : debug);
    },
    trace: (what, { payload, ...details }) => emit(PROBE, { what, ...details })
});
