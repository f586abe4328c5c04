/** A second implementation of the packet format, written independently of the client's.
 *
 * With it, tests do not check the client against itself.
 */

/** Encodes a packet. Omitted fields are empty. */
export function encodePacket({ room = "", event = "", dst = "", src = "", payload = "" }) {
    const parts = [room, event, dst, src, payload].flatMap((field) => {
        const bytes = Buffer.from(field);
        const length = Buffer.alloc(4);
        length.writeUInt32BE(bytes.length);
        return [length, bytes];
    });
    return Buffer.concat(parts);
}

/** Decodes a packet. The payload is a Buffer. */
export function decodePacket(data) {
    let rest = Buffer.from(data);
    const fields = [];
    for (let i = 0; i < 5; i++) {
        const end = 4 + rest.readUInt32BE(0);
        if (end > rest.length) {
            throw new RangeError("packet cut short");
        }
        fields.push(rest.subarray(4, end));
        rest = rest.subarray(end);
    }
    if (rest.length > 0) {
        throw new RangeError("bytes after the packet");
    }
    const [room, event, dst, src] = fields.map(String);
    return { room, event, dst, src, payload: fields[4] };
}

/** Returns a payload as text. */
export function text(payload) {
    return Buffer.from(payload).toString();
}
