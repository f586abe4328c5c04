/** Codecs, which convert payloads to bytes and back.
 *
 * @module codec
 */

import { check, wrap } from "./error.js";
import { toBytes, toText } from "./packet.js";

function encodeText(text) {
    check(typeof text === "string", 'use codec: "json"');
    return toBytes(text);
}

export const bytes = {
    encode: (value) =>
        ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? new Uint8Array(value.buffer ?? value, value.byteOffset, value.byteLength) : encodeText(value),
    /** Copies the payload, so that the whole packet's memory can be freed. */
    decode: (data) => data.slice()
};

export const text = { encode: encodeText, decode: toText };

export const json = {
    encode(value) {
        let encoded;
        try {
            encoded = JSON.stringify(value);
        } catch (cause) {
            throw wrap("argument", cause);
        }
        check(encoded, `JSON cannot represent this ${typeof value}`);
        return toBytes(encoded);
    },
    /** An empty payload decodes to `undefined`, since other clients may send one. */
    decode: (data) => (data.length ? JSON.parse(toText(data)) : undefined)
};
