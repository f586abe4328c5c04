/**
 * The feature behind the option `debug`: a record of each step.
 *
 * @module tracing
 */

import { PROBE } from "./limits.js";

/** @param {object} core see core.js */
export const tracing = ({ debug, emit }) => debug ? {
    client(client) {
        // A listener like others, so that an error in it is reported.
        client.on(PROBE, debug === true ? console.debug : debug);
    },
    // Without the payload, which may be a secret.
    trace: (what, { payload, ...details }) => emit(PROBE, { what, ...details, ...(what === "received" && { bytes: payload.length }) })
} : {};
