/**
 * Conversions of payloads, and of packets to the messages that handlers receive.
 *
 * @module testkit/message
 */

import { toBytes, toText } from "../packet.js";

/** The rejection of a packet: its code and text. A third item `true` means that the sender could have avoided it. */
export const UNKNOWN_RECEIVER = ["gone", "the receiver does not exist"];
export const DENIED = ["refused", "a rule of the application forbids it"];

/** Converts a payload to bytes: bytes and text unchanged, other values as JSON. */
export function toPayload(value) {
    return value instanceof Uint8Array ? value : toBytes(typeof value === "string" ? value : JSON.stringify(value) ?? "");
}

/** Converts a packet to the message for a handler. */
export function toMessage({ room, event, payload }) {
    const copy = payload.slice();
    const text = () => toText(copy);
    return { room, event, payload: copy, text, json: () => JSON.parse(text()) };
}
