type Reader = (little?: boolean) => number;
type Writer = (value: number, little?: boolean) => Cursor;

/** A frozen cursor over a window of an ArrayBuffer. Numbers are big-endian unless `little` is truthy. */
export interface Cursor {
    readonly buffer: ArrayBuffer;
    readonly view: DataView;
    readonly length: number;
    tell(): number;
    eof(): boolean;
    rewind(): Cursor;
    seek(position: number): Cursor;
    skip(count: number): Cursor;
    readonly getUint8: Reader;
    readonly getInt8: Reader;
    readonly getUint16: Reader;
    readonly getInt16: Reader;
    readonly getUint32: Reader;
    readonly getInt32: Reader;
    readonly getFloat32: Reader;
    readonly getFloat64: Reader;
    getBytes(count?: number): Uint8Array;
    getString(count?: number): string;
    slice(start?: number, end?: number): ArrayBuffer;
    readonly writeUint8: Writer;
    readonly writeInt8: Writer;
    readonly writeUint16: Writer;
    readonly writeInt16: Writer;
    readonly writeUint32: Writer;
    readonly writeInt32: Writer;
    readonly writeFloat32: Writer;
    readonly writeFloat64: Writer;
    writeBytes(bytes: Uint8Array): Cursor;
    writeString(text: string): Cursor;
}

/** Returns a cursor over a buffer or part of it. */
declare function bytecursor(buffer: ArrayBuffer, offset?: number, length?: number): Readonly<Cursor>;
export default bytecursor;
