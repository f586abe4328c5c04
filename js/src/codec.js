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

const codecs = {
    bytes: {
        encode(value) {
            if (ArrayBuffer.isView(value)) {
                return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
            }
            return value instanceof ArrayBuffer ? new Uint8Array(value) : encodeText(value);
        },
        /** Copies: the packet's own memory holds more than the payload. */
        decode: (bytes) => bytes.slice()
    },
    text: { encode: encodeText, decode: toText },
    json: {
        encode: (value) => encodeText(JSON.stringify(value)),
        /** An empty payload is `undefined`: other clients send it. */
        decode: (bytes) => (bytes.length ? JSON.parse(toText(bytes)) : undefined)
    }
};

/** Returns the codec of that name, or the application's own. */
export function findCodec(codec) {
    const found = codecs[codec] ?? codec;
    check(found?.encode && found.decode, `there is no codec "${codec}"`);
    return found;
}
