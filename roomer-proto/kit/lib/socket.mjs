/**
 * The server's end of WebSocket connections, according to RFC 6455, using only Node's own modules.
 *
 * @module socket
 */

import { createHash } from "node:crypto";
import { createServer } from "node:http";

const CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

/** Listens on a free port; `arrived` is called with each WebSocket request. */
export async function listen(arrived) {
    const server = createServer((_, response) => response.writeHead(426).end());
    server.on("upgrade", (request, stream) => arrived(createPending(request, stream)));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { url: `ws://127.0.0.1:${server.address().port}/ws`, close: () => server.close() };
}

function createPending(request, stream) {
    // A stream error ends the stream; "close" follows.
    stream.on("error", () => {});
    return {
        query: new URL(request.url, "ws://x").searchParams,
        reject(status) {
            stream.end(`HTTP/1.1 ${status} Rejected\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
        },
        drop: () => stream.destroy(),
        /** Accepts the request. `handlers` has `message(bytes, isText)`, `pong(text)`, `ended(code)` and `violated(why)`. */
        accept(handlers) {
            const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
            const offered = request.headers["sec-websocket-protocol"]?.split(",").map((name) => name.trim());
            stream.setNoDelay(true);
            stream.write([
                "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                `Sec-WebSocket-Accept: ${createHash("sha1").update(key).digest("base64")}`,
                ...(offered?.includes("roomer") ? ["Sec-WebSocket-Protocol: roomer"] : []), "\r\n"
            ].join("\r\n"));
            return createSocket(stream, handlers);
        }
    };
}

/** Encodes an unmasked frame. */
function frame(opcode, payload, isLast = true) {
    const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 2 ** 16 ? 4 : 10);
    head[0] = opcode | (isLast ? 0x80 : 0);
    if (head.length === 2) {
        head[1] = payload.length;
    } else if (head.length === 4) {
        head[1] = 126;
        head.writeUInt16BE(payload.length, 2);
    } else {
        head[1] = 127;
        head.writeBigUInt64BE(BigInt(payload.length), 2);
    }
    return Buffer.concat([head, payload]);
}

function createSocket(stream, { message, pong, ended, violated }) {
    let rest = Buffer.alloc(0);
    let parts = [];
    let kind = BINARY;
    /** The code of the client's close frame: undefined without a frame, null without a code. */
    let code;

    const handle = (opcode, isLast, payload) => {
        if (opcode === PONG) {
            pong(payload.toString());
        } else if (opcode === PING) {
            stream.write(frame(PONG, payload));
        } else if (opcode === CLOSE) {
            code = payload.length < 2 ? null : payload.readUInt16BE(0);
            stream.end(frame(CLOSE, payload.subarray(0, 2)));
        } else if ([CONTINUATION, TEXT, BINARY].includes(opcode)) {
            kind = opcode || kind;
            parts.push(payload);
            if (isLast) {
                message(Buffer.concat(parts.splice(0)), kind === TEXT);
            }
        } else {
            violated(`a frame with opcode ${opcode}`);
        }
    };

    /** Handles one frame; returns false if there is none. */
    const take = () => {
        if (rest.length < 2) {
            return false;
        }
        const short = rest[1] & 0x7f;
        const at = short < 126 ? 2 : short === 126 ? 4 : 10;
        if (rest.length < at + 4) {
            return false;
        }
        const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
        if (rest.length < at + 4 + length) {
            return false;
        }
        if (!(rest[1] & 0x80) || rest[0] & 0x70) {
            violated("a frame without a mask, or with reserved bits");
        }
        const mask = rest.subarray(at, at + 4);
        const payload = Buffer.from(rest.subarray(at + 4, at + 4 + length)).map((byte, n) => byte ^ mask[n % 4]);
        const [first] = rest;
        rest = rest.subarray(at + 4 + length);
        handle(first & 0x0f, first & 0x80, payload);
        return true;
    };

    stream.on("data", (bytes) => {
        rest = Buffer.concat([rest, bytes]);
        while (take());
    });
    stream.on("close", () => ended(code));

    return {
        /** Sends a message in this many frames, with only the first `limit` bytes of the last frame. */
        send(bytes, { fragments = 1, limit } = {}) {
            const size = Math.ceil(bytes.length / fragments);
            for (let n = 0; n < fragments; n++) {
                const data = frame(n ? CONTINUATION : BINARY, bytes.subarray(n * size, (n + 1) * size), n === fragments - 1);
                stream.write(n === fragments - 1 && limit !== undefined ? data.subarray(0, limit) : data);
            }
        },
        ping: (text) => stream.write(frame(PING, Buffer.from(text))),
        close(code, reason = "") {
            const bytes = Buffer.alloc(2);
            bytes.writeUInt16BE(code);
            stream.end(frame(CLOSE, Buffer.concat([bytes, Buffer.from(reason)])));
        },
        /** Stops reading, as a dead network does. */
        pause: () => stream.pause(),
        end: () => stream.destroy(),
        reset: () => stream.resetAndDestroy()
    };
}
