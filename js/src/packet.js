/** Encodes and decodes packets: room, event, receiver, sender and payload.
 *
 * Each of them is preceded by its length as a big-endian 32-bit integer.
 *
 * @module packet
 */

const encoder = new TextEncoder();
/** Keeps a leading byte order mark, which is part of a name. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const toBytes = (text) => encoder.encode(text);
export const toText = (bytes) => decoder.decode(bytes);

/** Encodes a packet. */
export function encode(room, event, to = "", from = "", payload = []) {
    // Most packets lack a receiver or a sender. An empty string can stand for no bytes.
    const fields = [...[room, event, to, from].map((text) => text && toBytes(text)), payload];
    const packet = new Uint8Array(fields.reduce((size, field) => size + field.length, 20));
    fields.reduce((at, field) => {
        new DataView(packet.buffer).setUint32(at, field.length);
        packet.set(field, at + 4);
        return at + 4 + field.length;
    }, 0);
    return packet;
}

/**
 * Decodes a packet without copying its payload. Throws RangeError unless the buffer contains exactly one packet.
 *
 * @param {ArrayBuffer} buffer
 */
export function decode(buffer) {
    const view = new DataView(buffer);
    let at = 0;
    const take = () => {
        const field = new Uint8Array(buffer, at + 4, view.getUint32(at));
        at += 4 + field.length;
        return field;
    };
    const packet = { room: toText(take()), event: toText(take()), to: toText(take()), from: toText(take()), payload: take() };
    if (at < buffer.byteLength) {
        throw new RangeError();
    }
    return packet;
}
