/**
 * The packet vectors, which a program encodes and decodes on command.
 *
 * @module codec
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { decode } from "./packet.mjs";

/** Larger packets would only test how fast a program reads a line. */
const MOST_BYTES = 2 ** 20;
const NAMES = ["room", "event", "dst", "src"];

/** Returns a case for each vector: `{ name, check(call) }`, where `check` returns why the client fails. */
export function codecCases() {
    const vectors = JSON.parse(readFileSync(new URL("../../tests/vectors.json", import.meta.url)));
    const readAs = async (call, hex, { payload, ...names }) => {
        const { malformed, ...found } = await call({ do: "decode", hex });
        const due = { ...names, hex: payload.toString("hex") };
        const wrong = malformed ? "it is not a packet" : [...NAMES, "hex"].find((name) => found[name] !== due[name]);
        return wrong && `decode: ${wrong} (it is ${JSON.stringify(found[wrong])?.slice(0, 100)})`;
    };
    const written = async (call, { payload, ...names }) => (await call({ do: "encode", ...names, hex: payload.toString("hex") })).hex;
    const expand = ({ repeat_hex, count }) => Buffer.concat(Array(count).fill(Buffer.from(repeat_hex, "hex")));
    const valid = vectors.valid.map(({ name, frame_hex, payload_hex, ...names }) => ({
        name,
        check: async (call) => {
            const packet = { ...names, payload: Buffer.from(payload_hex, "hex") };
            const hex = await written(call, packet);
            return (hex === frame_hex ? undefined : `encode: ${hex}`) ?? readAs(call, frame_hex, packet);
        }
    }));
    const rules = vectors.rules.filter((rule) => rule.frame_len <= MOST_BYTES).map(({ name, frame_len, frame_sha256, payload, ...names }) => ({
        name,
        check: async (call) => {
            const packet = { ...Object.fromEntries(NAMES.map((key) => [key, expand(names[key]).toString()])), payload: expand(payload) };
            const hex = (await written(call, packet)) ?? "";
            const isRight = hex.length === 2 * frame_len && createHash("sha256").update(hex, "hex").digest("hex") === frame_sha256;
            return isRight ? readAs(call, hex, packet) : `encode: ${hex.length / 2} bytes, or the wrong bytes`;
        }
    }));
    const rewritten = vectors.rewrite.map(({ name, out_hex }) => ({ name, check: (call) => readAs(call, out_hex, decode(Buffer.from(out_hex, "hex"))) }));
    const invalid = vectors.invalid.map(({ name, frame_hex, why }) => ({
        name: `${name}: ${why}`,
        check: async (call) => ((await call({ do: "decode", hex: frame_hex })).malformed ? undefined : "decode: the program accepts it as a packet")
    }));
    return [...valid, ...rules, ...rewritten, ...invalid].map((each) => ({ ...each, section: "codec" }));
}

/** Runs codec cases in a program; `report` is called with each case, and with the reason if it fails. */
export async function runCodec(cases, program, report, timeout = 15_000) {
    for (const each of cases) {
        const why = await new Promise((resolve) => {
            const timer = setTimeout(resolve, timeout, `no answer within ${timeout} ms`);
            const end = (why) => {
                clearTimeout(timer);
                resolve(why);
            };
            program.listen({ received() {}, failed: ({ message }) => end(message) });
            each.check(program.call).then(end, end);
        });
        report(each, why);
    }
}
