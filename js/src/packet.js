/**
 * The packet: room, event, dst, src and payload, each behind its length in four bytes, big end first.
 *
 * @module packet
 */

const encoder = new TextEncoder();
/** Keeps a leading byte order mark: it is part of a name. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const toBytes = (text) => encoder.encode(text);
export const toText = (bytes) => decoder.decode(bytes);

/** The bytes of a packet. */
export function encode(room, event, dst = "", src = "", payload = new Uint8Array()) {
    const fields = [...[room, event, dst, src].map(toBytes), payload];
    const packet = new Uint8Array(fields.reduce((size, field) => size + 4 + field.length, 0));
    const view = new DataView(packet.buffer);
    let at = 0;
    for (const field of fields) {
        view.setUint32(at, field.length);
        packet.set(field, at + 4);
        at += 4 + field.length;
    }
    return packet;
}

/**
 * The reverse, without copying the payload. Throws RangeError if the buffer is not exactly one packet.
 *
 * @param {ArrayBuffer} buffer
 */
export function decode(buffer) {
    const view = new DataView(buffer);
    const fields = [];
    let at = 0;
    while (fields.length < 5) {
        const size = view.getUint32(at);
        fields.push(new Uint8Array(buffer, at + 4, size));
        at += 4 + size;
    }
    if (at < buffer.byteLength) {
        throw new RangeError("bytes after the packet");
    }
    const payload = fields.pop();
    const [room, event, dst, src] = fields.map(toText);
    return { room, event, dst, src, payload };
}
