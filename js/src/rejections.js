/** The feature that reports packets rejected by the server, through the client event `error`.
 *
 * @module rejections
 */

import { RoomerError } from "./error.js";
import { takePackets } from "./feature.js";
import { ERROR, INFO } from "./limits.js";
import { toText } from "./packet.js";
import { decodePayload } from "./room.js";

const REMEDIES = {
    refused: "check the rules and the rooms",
    invalid: "check the name and payload",
    busy: "send less",
    gone: "the client has left"
};

const toError = (bytes) => {
    const { code: kind, message, room, event, more } = JSON.parse(toText(bytes));
    return new RoomerError("rejected", `${kind}: ${message} (${event} in ${room})`, { kind, room, event, more, remedy: REMEDIES[kind] });
};

/** @param {object} core see core.js */
export function rejections(core) {
    takePackets(core, (packet) => {
        // The feature `ownInfo` repeats info that the server has rejected because it changed too often.
        const report = (error) => (error.event === INFO && error.kind === "busy" && !error.more && core.client.setInfo) || core.report(error);
        packet.event === ERROR && !(packet.to + packet.from) && decodePayload(core, { decode: toError }, packet, report);
    });
}
