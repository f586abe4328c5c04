/**
 * Packets, and how cases describe them: by fields.
 *
 * The payload is given as `text`, `json`, `hex`, or `fill` (hex bytes, repeated).
 *
 * @module packet
 */

const FIELDS = ["room", "event", "dst", "src"];
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Encodes a packet. */
export function encode({ payload, ...names }) {
    const fields = [...FIELDS.map((name) => Buffer.from(names[name] ?? "")), payload];
    return Buffer.concat(fields.flatMap((field) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(field.length);
        return [length, field];
    }));
}

/** Decodes a packet; throws if the bytes are not a packet. */
export function decode(bytes) {
    let rest = bytes;
    const [room, event, dst, src, payload] = Array.from({ length: 5 }, () => {
        const end = rest.length < 4 ? Infinity : 4 + rest.readUInt32BE(0);
        if (end > rest.length) {
            throw new Error("a field extends past the end of the message");
        }
        const field = rest.subarray(4, end);
        rest = rest.subarray(end);
        return field;
    });
    if (rest.length) {
        throw new Error("bytes follow the payload");
    }
    const names = [room, event, dst, src].map((field) => utf8.decode(field));
    return { ...Object.fromEntries(FIELDS.map((name, n) => [name, names[n]])), payload };
}

/** Returns true if an object in a case has a payload. */
export const hasPayload = (part) => ["text", "json", "hex", "fill"].some((key) => key in part);

/** Returns the payload of an object in a case. */
export function payloadOf({ text, json, hex, fill }) {
    if (json !== undefined) {
        return Buffer.from(JSON.stringify(json));
    }
    if (fill) {
        return Buffer.concat(Array(fill[1]).fill(Buffer.from(fill[0], "hex")));
    }
    return text === undefined ? Buffer.from(hex ?? "", "hex") : Buffer.from(`${text}`);
}

/** Returns a packet in one short line, for reports. */
export function show({ room, event, dst, src, payload }) {
    const text = payload.length > 200 ? `${payload.length} bytes` : payload.some((byte) => byte < 32 || byte > 126) ? `0x${payload.toString("hex")}` : payload.toString();
    return `${JSON.stringify(room)} ${JSON.stringify(event)} dst=${JSON.stringify(dst)} src=${JSON.stringify(src)} ${text}`;
}
