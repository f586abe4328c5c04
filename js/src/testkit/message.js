/**
 * Payloads, and the messages that handlers receive.
 *
 * @module testkit/message
 */

import { toBytes, toText } from "../packet.js";

/** A rejection of a packet: the code, the text, and `true` if the sender could have avoided it. */
export const UNKNOWN_RECEIVER = ["gone", "the receiver does not exist"];

/** Returns the bytes of a payload: bytes and text as they are, anything else as JSON. */
export function toPayload(value) {
    return value instanceof Uint8Array ? value : toBytes(typeof value === "string" ? value : JSON.stringify(value) ?? "");
}

/** Returns a packet for a handler. */
export function toMessage({ room, event, payload }) {
    const copy = payload.slice();
    const text = () => toText(copy);
    return { room, event, payload: copy, text, json: () => JSON.parse(text()) };
}
