/** Conversions: from values to payloads, and from packets to the messages that handlers receive.
 *
 * @module testkit/message
 */

import { toBytes, toText } from "../packet.js";

/**
 * The reason for rejecting a packet: a code and a text. A third item, true, means that the sender could have avoided the
 * rejection.
 */
export const UNKNOWN_RECEIVER = ["gone", "the receiver does not exist"];
export const DENIED = ["refused", "an application rule forbids it"];

/** Converts a payload to bytes: bytes stay unchanged, text becomes UTF-8, and other values JSON. */
export function toPayload(value) {
    return value instanceof Uint8Array ? value : toBytes(typeof value === "string" ? value : JSON.stringify(value) ?? "");
}

/** Converts a packet to the message that a handler receives. */
export function toMessage({ room, event, payload }) {
    const copy = payload.slice();
    const text = () => toText(copy);
    return { room, event, payload: copy, text, json: () => JSON.parse(text()) };
}
