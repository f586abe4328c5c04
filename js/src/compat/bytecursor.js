/** A cursor that reads and writes binary data.
 *
 * @module bytecursor
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The integer and floating-point types by name, with their sizes in bytes. */
const INTEGERS = { Uint8: 1, Int8: 1, Uint16: 2, Int16: 2, Uint32: 4, Int32: 4 };
const FLOATS = { Float32: 4, Float64: 8 };

/**
 * A frozen cursor over a window of an ArrayBuffer. Positions and lengths count from the window's start. A read or
 * write that fails does not move the cursor. Numbers are big-endian unless `little` is truthy. Access past the end of
 * the window throws RangeError.
 *
 * @typedef {object} Cursor
 * @property {ArrayBuffer} buffer the whole buffer
 * @property {DataView} view the window
 * @property {number} length bytes in the window
 * @property {() => number} tell the position
 * @property {() => boolean} eof returns true if the position is at the end
 * @property {() => Cursor} rewind moves to the start
 * @property {(position: number) => Cursor} seek moves to a position, 0 to length
 * @property {(count: number) => Cursor} skip moves forward, or backward if the count is negative
 * @property {(little?: boolean) => number} getUint8
 * @property {(little?: boolean) => number} getInt8
 * @property {(little?: boolean) => number} getUint16
 * @property {(little?: boolean) => number} getInt16
 * @property {(little?: boolean) => number} getUint32
 * @property {(little?: boolean) => number} getInt32
 * @property {(little?: boolean) => number} getFloat32
 * @property {(little?: boolean) => number} getFloat64
 * @property {(count?: number) => Uint8Array} getBytes a copy of the next bytes, by default all remaining ones
 * @property {(count?: number) => string} getString the next bytes, by default all, as UTF-8 text; invalid UTF-8 is replaced, and
 * a byte order mark dropped
 * @property {(start?: number, end?: number) => ArrayBuffer} slice a copy of a part of the window; does not move the cursor
 * @property {(value: number, little?: boolean) => Cursor} writeUint8 throws TypeError unless the value is an integer, and
 * RangeError if it exceeds the type's range; this also holds for the other integer types
 * @property {(value: number, little?: boolean) => Cursor} writeInt8
 * @property {(value: number, little?: boolean) => Cursor} writeUint16
 * @property {(value: number, little?: boolean) => Cursor} writeInt16
 * @property {(value: number, little?: boolean) => Cursor} writeUint32
 * @property {(value: number, little?: boolean) => Cursor} writeInt32
 * @property {(value: number, little?: boolean) => Cursor} writeFloat32 throws TypeError unless the value is a number
 * @property {(value: number, little?: boolean) => Cursor} writeFloat64
 * @property {(bytes: Uint8Array) => Cursor} writeBytes throws TypeError unless the argument is a Uint8Array
 * @property {(text: string) => Cursor} writeString writes UTF-8; throws TypeError unless the argument is a string
 */

/** Throws a TypeError that names the expected type, unless the condition holds. */
function expect(condition, what) {
    if (!condition) {
        throw new TypeError(`bytecursor: ${what} expected`);
    }
}

/** Returns the value if it is a whole number from 0 to max. */
function within(value, max) {
    expect(typeof value === "number", "number");
    if (!Number.isInteger(value) || value < 0 || value > max) {
        throw new RangeError(`bytecursor: ${value} is not a whole number from 0 to ${max}`);
    }
    return value;
}

/**
 * Returns a cursor over a buffer or part of it.
 *
 * @param {ArrayBuffer} buffer
 * @param {number} [offset] start of the window, 0 by default
 * @param {number} [length] bytes in the window, the rest of the buffer by default
 * @returns {Readonly<Cursor>}
 * @throws {TypeError} if an argument has the wrong type
 * @throws {RangeError} if offset or length is negative, fractional or past the end
 */
function bytecursor(buffer, offset = 0, length = undefined) {
    expect(buffer instanceof ArrayBuffer, "ArrayBuffer");
    const rest = buffer.byteLength - within(offset, buffer.byteLength);
    length = length === undefined ? rest : within(length, rest);
    const view = new DataView(buffer, offset, length);
    const bytes = new Uint8Array(buffer, offset, length);
    let position = 0;

    /** Advances the cursor by a number of bytes. Returns the position of the first of them. */
    function take(count) {
        const start = position;
        position += within(count, length - position);
        return start;
    }

    function seek(target) {
        position = within(target, length);
        return self;
    }

    function getBytes(count = length - position) {
        const start = take(count);
        return bytes.slice(start, position);
    }

    function writeBytes(data) {
        expect(data instanceof Uint8Array, "Uint8Array");
        bytes.set(data, take(data.length));
        return self;
    }

    /** @type {any} */
    const self = {
        buffer,
        view,
        length,
        tell: () => position,
        eof: () => position === length,
        rewind: () => seek(0),
        seek,
        skip(count) {
            expect(typeof count === "number", "number");
            return seek(position + count);
        },
        getBytes,
        getString: (count) => decoder.decode(getBytes(count)),
        slice(start = 0, end = length) {
            within(start, within(end, length));
            return buffer.slice(offset + start, offset + end);
        },
        writeBytes,
        writeString(text) {
            expect(typeof text === "string", "string");
            return writeBytes(encoder.encode(text));
        }
    };

    /** Adds a number type's get… and write… methods; `check` rejects values that cannot be written. */
    function addNumber(type, size, check) {
        self["get" + type] = (little) => view["get" + type](take(size), !!little);
        self["write" + type] = (value, little) => {
            check(value);
            view["set" + type](take(size), value, !!little);
            return self;
        };
    }

    for (const [type, size] of Object.entries(INTEGERS)) {
        const lowest = type[0] === "I" ? -(2 ** (size * 8 - 1)) : 0;
        const highest = lowest + 2 ** (size * 8) - 1;
        addNumber(type, size, (value) => {
            expect(Number.isInteger(value), "integer");
            if (value < lowest || value > highest) {
                throw new RangeError(`bytecursor: ${value} is not from ${lowest} to ${highest}`);
            }
        });
    }
    for (const [type, size] of Object.entries(FLOATS)) {
        addNumber(type, size, (value) => expect(typeof value === "number", "number"));
    }
    return Object.freeze(self);
}

export default Object.freeze(bytecursor);
