/**
 * Conversion of payloads to bytes and back.
 *
 * @module codec
 */

import { check } from "./error.js";
import { toBytes, toText } from "./packet.js";

function encodeText(text) {
    check(typeof text === "string", 'use codec: "json"');
    return toBytes(text);
}

export const bytes = {
    encode: (value) =>
        ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? new Uint8Array(value.buffer ?? value, value.byteOffset, value.byteLength) : encodeText(value),
    /** Copies: the packet's own memory holds more than the payload. */
    decode: (data) => data.slice()
};

export const text = { encode: encodeText, decode: toText };

export const json = {
    encode: (value) => encodeText(JSON.stringify(value)),
    /** An empty payload is `undefined`: other clients send it. */
    decode: (data) => (data.length ? JSON.parse(toText(data)) : undefined)
};
