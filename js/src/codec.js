/**
 * How payloads become bytes, and bytes payloads.
 *
 * @module codec
 */

import { check } from "./error.js";
import { toBytes, toText } from "./packet.js";

const codecs = {
    /** Hands out a copy: the packet's own memory holds more than the payload. */
    bytes: {
        encode(value) {
            if (ArrayBuffer.isView(value)) {
                return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
            }
            if (value instanceof ArrayBuffer) {
                return new Uint8Array(value);
            }
            check(typeof value === "string", 'a payload must be bytes or a string; with { codec: "json" } it may be any JSON');
            return toBytes(value);
        },
        decode: (bytes) => bytes.slice()
    },
    text: {
        encode(value) {
            check(typeof value === "string", 'a payload must be a string; with { codec: "json" } it may be any JSON');
            return toBytes(value);
        },
        decode: toText
    },
    json: {
        encode(value) {
            const text = JSON.stringify(value);
            check(text, "this payload cannot be written as JSON");
            return toBytes(text);
        },
        /** Nothing at all is nothing in JSON too: other clients send it. */
        decode: (bytes) => (bytes.length ? JSON.parse(toText(bytes)) : undefined)
    }
};

/** The codec of that name, or one that the application brings. */
export function findCodec(codec) {
    const found = codecs[codec] ?? codec;
    check(found?.encode && found.decode, 'codec must be "bytes", "text", "json" or { encode, decode }');
    return found;
}
