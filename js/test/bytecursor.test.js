/** Tests of the original client's byte cursor. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import bytecursor from "../src/compat/bytecursor.js";

const bytes = (...values) => new Uint8Array(values).buffer;

/** Returns a cursor over a buffer with these bytes. */
const over = (...values) => bytecursor(bytes(...values));

/** Fails unless `action` throws an error of this type and does not move the cursor. */
function refuses(cursor, ErrorType, action) {
    const before = cursor.tell();
    assert.throws(action, (error) => error.constructor === ErrorType);
    assert.equal(cursor.tell(), before);
}

describe("bytecursor()", () => {
    test("is a frozen object over the whole buffer", () => {
        const buffer = bytes(1, 2, 3);
        const cursor = bytecursor(buffer);
        assert.ok(Object.isFrozen(bytecursor));
        assert.ok(Object.isFrozen(cursor));
        assert.equal(cursor.buffer, buffer);
        assert.equal(cursor.length, 3);
        assert.ok(cursor.view instanceof DataView);
        assert.equal(cursor.tell(), 0);
    });

    test("covers the requested window", () => {
        const cursor = bytecursor(bytes(0, 1, 2, 3, 4), 1, 3);
        assert.equal(cursor.length, 3);
        assert.equal(cursor.view.byteOffset, 1);
        assert.equal(cursor.view.byteLength, 3);
        assert.deepEqual([...cursor.getBytes()], [1, 2, 3]);
        assert.equal(cursor.tell(), 3);
        assert.equal(bytecursor(bytes(0, 1, 2), 2).length, 1);
        assert.equal(bytecursor(bytes(0, 1, 2), 3).length, 0);
    });

    for (const wrong of [undefined, null, "buffer", 5, {}, new Uint8Array(4)]) {
        test(`TypeError if the buffer is ${Object.prototype.toString.call(wrong)}`, () => {
            assert.throws(() => bytecursor(wrong), TypeError);
        });
    }

    for (const wrong of [null, "1", {}, true]) {
        test(`TypeError if offset or length is ${JSON.stringify(wrong)}`, () => {
            assert.throws(() => bytecursor(bytes(1, 2), wrong), TypeError);
            assert.throws(() => bytecursor(bytes(1, 2), 0, wrong), TypeError);
        });
    }

    for (const wrong of [-1, 0.5, 3, NaN, Infinity]) {
        test(`RangeError if offset or length is ${wrong}`, () => {
            assert.throws(() => bytecursor(bytes(1, 2), wrong), RangeError);
            assert.throws(() => bytecursor(bytes(1, 2), 0, wrong), RangeError);
        });
    }

    test("RangeError if offset and length together are past the end", () => {
        assert.throws(() => bytecursor(bytes(1, 2, 3), 2, 2), RangeError);
    });
});

describe("position", () => {
    test("seek, skip, rewind, tell and eof", () => {
        const cursor = over(1, 2, 3, 4);
        assert.equal(cursor.seek(3), cursor);
        assert.equal(cursor.tell(), 3);
        assert.equal(cursor.skip(-2), cursor);
        assert.equal(cursor.tell(), 1);
        assert.equal(cursor.eof(), false);
        assert.equal(cursor.skip(3).eof(), true);
        assert.equal(cursor.rewind(), cursor);
        assert.equal(cursor.tell(), 0);
        assert.equal(cursor.seek(4).eof(), true);
        assert.equal(over().eof(), true);
    });

    test("stays within the window", () => {
        const cursor = over(1, 2, 3, 4).seek(2);
        for (const wrong of [-1, 5, 1.5, NaN]) {
            refuses(cursor, RangeError, () => cursor.seek(wrong));
        }
        for (const wrong of [-3, 3, 0.5, NaN, Infinity]) {
            refuses(cursor, RangeError, () => cursor.skip(wrong));
        }
        for (const wrong of [undefined, null, "1", {}]) {
            refuses(cursor, TypeError, () => cursor.seek(wrong));
            refuses(cursor, TypeError, () => cursor.skip(wrong));
        }
    });
});

const NUMBERS = [
    { type: "Uint8", size: 1, lowest: 0, highest: 0xff },
    { type: "Int8", size: 1, lowest: -0x80, highest: 0x7f },
    { type: "Uint16", size: 2, lowest: 0, highest: 0xffff },
    { type: "Int16", size: 2, lowest: -0x8000, highest: 0x7fff },
    { type: "Uint32", size: 4, lowest: 0, highest: 0xffffffff },
    { type: "Int32", size: 4, lowest: -0x80000000, highest: 0x7fffffff }
];

describe("numbers", () => {
    const values = [0xfe, 0x01, 0x02, 0x83, 0x04, 0x05, 0x06, 0x87];

    for (const [type, size, big, little] of [
        ["Uint8", 1, 0xfe, 0xfe],
        ["Int8", 1, -2, -2],
        ["Uint16", 2, 0xfe01, 0x01fe],
        ["Int16", 2, -511, 0x01fe],
        ["Uint32", 4, 0xfe010283, 0x830201fe],
        ["Int32", 4, -33488253, -2097020418]
    ]) {
        test(`get${type} reads big-endian, little-endian on request, and moves on`, () => {
            const cursor = over(...values);
            assert.equal(cursor[`get${type}`](), big);
            assert.equal(cursor.tell(), size);
            assert.equal(cursor.rewind()[`get${type}`](true), little);
            assert.equal(cursor.rewind()[`get${type}`](1), little);
        });
    }

    test("getFloat32 and getFloat64", () => {
        assert.equal(over(0x3f, 0xc0, 0, 0).getFloat32(), 1.5);
        assert.equal(over(0, 0, 0xc0, 0x3f).getFloat32(true), 1.5);
        assert.equal(over(0xbf, 0xf8, 0, 0, 0, 0, 0, 0).getFloat64(), -1.5);
        assert.equal(over(0, 0, 0, 0, 0, 0, 0xf8, 0xbf).getFloat64(true), -1.5);
    });

    for (const [type, size] of [...NUMBERS.map(({ type, size }) => [type, size]), ["Float32", 4], ["Float64", 8]]) {
        test(`get${type} and write${type} past the end throw RangeError without side effects`, () => {
            const cursor = bytecursor(bytes(9, 9, 9, 9, 9, 9, 9, 9, 9), 0, 8).seek(8 - size + 1);
            refuses(cursor, RangeError, () => cursor[`get${type}`]());
            refuses(cursor, RangeError, () => cursor[`write${type}`](0));
            assert.deepEqual([...new Uint8Array(cursor.buffer)], Array(9).fill(9));
        });
    }

    for (const { type, size, lowest, highest } of NUMBERS) {
        test(`write${type} writes its whole range and nothing else`, () => {
            const cursor = bytecursor(new ArrayBuffer(size));
            for (const value of [lowest, highest, 1]) {
                for (const little of [false, true]) {
                    assert.equal(cursor.rewind()[`write${type}`](value, little), cursor);
                    assert.equal(cursor.eof(), true);
                    assert.equal(cursor.rewind()[`get${type}`](little), value);
                }
            }
            cursor.rewind();
            for (const wrong of [lowest - 1, highest + 1]) {
                refuses(cursor, RangeError, () => cursor[`write${type}`](wrong));
            }
            for (const wrong of [undefined, null, "1", 0.5, NaN, Infinity, 1n]) {
                refuses(cursor, TypeError, () => cursor[`write${type}`](wrong));
            }
            assert.equal(cursor.rewind()[`get${type}`](true), 1, "unchanged by the refused values");
        });
    }

    test("writes are big-endian by default", () => {
        const cursor = bytecursor(new ArrayBuffer(6)).writeUint16(0x0102).writeUint32(0x03040506);
        assert.deepEqual([...new Uint8Array(cursor.buffer)], [1, 2, 3, 4, 5, 6]);
        cursor.rewind().writeUint16(0x0102, true).writeUint32(0x03040506, true);
        assert.deepEqual([...new Uint8Array(cursor.buffer)], [2, 1, 6, 5, 4, 3]);
    });

    test("writeFloat32 and writeFloat64 take any number and nothing else", () => {
        const cursor = bytecursor(new ArrayBuffer(8));
        for (const [type, value] of [["Float32", 0.5], ["Float64", 0.1], ["Float64", NaN], ["Float32", -Infinity]]) {
            assert.equal(cursor.rewind()[`write${type}`](value), cursor);
            assert.equal(cursor.rewind()[`get${type}`](), value);
        }
        cursor.rewind();
        for (const wrong of [undefined, null, "1", 1n]) {
            refuses(cursor, TypeError, () => cursor.writeFloat32(wrong));
            refuses(cursor, TypeError, () => cursor.writeFloat64(wrong));
        }
    });
});

describe("bytes and text", () => {
    test("getBytes copies", () => {
        const cursor = over(1, 2, 3, 4);
        const two = cursor.getBytes(2);
        assert.ok(two instanceof Uint8Array);
        assert.deepEqual([...two], [1, 2]);
        two[0] = 99;
        assert.equal(cursor.rewind().getUint8(), 1);
        assert.deepEqual([...cursor.getBytes()], [2, 3, 4]);
        assert.equal(cursor.eof(), true);
        assert.deepEqual([...cursor.getBytes()], []);
    });

    test("getString decodes UTF-8, replaces errors, drops a leading byte order mark", () => {
        assert.equal(bytecursor(new TextEncoder().encode("Zoë 🚪").buffer).getString(), "Zoë 🚪");
        assert.equal(over(0x61, 0x62, 0x63).getString(2), "ab");
        assert.equal(over(0x61, 0xff, 0x62).getString(), "a\ufffdb");
        assert.equal(over(0xef, 0xbb, 0xbf, 0x61).getString(), "a");
        assert.equal(over().getString(), "");
    });

    test("getBytes and getString past the end throw", () => {
        const cursor = over(1, 2, 3).seek(1);
        for (const method of ["getBytes", "getString"]) {
            for (const wrong of [-1, 3, 0.5, 0xffffffff]) {
                refuses(cursor, RangeError, () => cursor[method](wrong));
            }
            refuses(cursor, TypeError, () => cursor[method]("1"));
        }
    });

    test("writeBytes and writeString", () => {
        const cursor = bytecursor(new ArrayBuffer(6));
        assert.equal(cursor.writeBytes(new Uint8Array([1, 2])), cursor);
        assert.equal(cursor.writeString("é!"), cursor);
        assert.equal(cursor.tell(), 5);
        assert.deepEqual([...new Uint8Array(cursor.buffer)], [1, 2, 0xc3, 0xa9, 0x21, 0]);
        refuses(cursor, RangeError, () => cursor.writeBytes(new Uint8Array(2)));
        refuses(cursor, RangeError, () => cursor.writeString("é"));
        for (const wrong of [undefined, null, [1], new ArrayBuffer(1), new Int8Array(1), "a"]) {
            refuses(cursor, TypeError, () => cursor.writeBytes(wrong));
        }
        for (const wrong of [undefined, null, 1, new String("a")]) {
            refuses(cursor, TypeError, () => cursor.writeString(wrong));
        }
        assert.deepEqual([...new Uint8Array(cursor.buffer)], [1, 2, 0xc3, 0xa9, 0x21, 0]);
    });
});

describe("slice", () => {
    test("copies a part of the window and does not move", () => {
        const cursor = bytecursor(bytes(0, 1, 2, 3, 4, 5), 1, 4).seek(1);
        const part = cursor.slice(1, 3);
        assert.ok(part instanceof ArrayBuffer);
        assert.deepEqual([...new Uint8Array(part)], [2, 3]);
        assert.deepEqual([...new Uint8Array(cursor.slice())], [1, 2, 3, 4]);
        assert.deepEqual([...new Uint8Array(cursor.slice(3))], [4]);
        assert.equal(cursor.slice(4).byteLength, 0);
        assert.equal(cursor.tell(), 1);
        new Uint8Array(part)[0] = 99;
        assert.equal(cursor.getUint8(), 2);
    });

    test("past the end throws", () => {
        const cursor = over(1, 2, 3);
        for (const [start, end] of [[-1, 2], [0, 4], [2, 1], [4, 4], [0.5, 2], [0, -1]]) {
            refuses(cursor, RangeError, () => cursor.slice(start, end));
        }
        for (const [start, end] of [["0", 1], [0, "1"], [null, 1], [0, null]]) {
            refuses(cursor, TypeError, () => cursor.slice(start, end));
        }
    });
});
