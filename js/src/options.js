/** Checks options, since a wrong value would otherwise cause an unrelated JavaScript error far from the call.
 *
 * @module options
 */

import { bytes, json, text } from "./codec.js";
import { check } from "./error.js";
import { extendRooms } from "./feature.js";

/** Returns a call's options, or an empty object if they are null or undefined. */
export function readOptions(options) {
    const { signal } = (options ??= {});
    check(typeof options === "object", "options: an object");
    check(!signal || signal.addEventListener, "signal: an AbortSignal");
    return options;
}

/** Throws unless these options, as far as they are set, are numbers of at least `least`. Rejects NaN and text. */
function checkNumbers(options, names, least) {
    for (const name of names) {
        options[name] ??= undefined;
        const value = options[name] ?? least;
        check(typeof value === "number" && value >= least, `${name}: a number from ${least}, not ${value}`);
    }
}

/** Returns the checked options of connect(). */
export function readSettings(given) {
    const settings = { ...readOptions(given) };
    const queue = { ...readOptions(settings.queue) };
    let { reconnect } = settings;
    checkNumbers(settings, ["timeout"], 1);
    settings.heartbeat === false || checkNumbers(settings, ["heartbeat"], 1);
    checkNumbers(queue, ["messages", "bytes"], 0);
    if (typeof reconnect !== "boolean") {
        reconnect = { ...readOptions(reconnect) };
        checkNumbers(reconnect, ["minDelay", "maxDelay", "minUptime", "retries"], 0);
    }
    for (const name of ["isFinal", "random", "WebSocket"]) {
        settings[name] ??= undefined;
        check(typeof (settings[name] ?? check) === "function", `${name}: a function`);
    }
    return { ...settings, queue, reconnect };
}

const CODECS = { bytes, text, json };
const isNamed = (codec) => Object.values(CODECS).includes(codec);

/** Returns a codec whose `encode` throws if the application's codec does not return bytes. */
const checkCodec = (codec) => ({
    encode(value) {
        const data = codec.encode(value);
        check(ArrayBuffer.isView(data) && data.BYTES_PER_ELEMENT === 1, "a codec's encode() must return a Uint8Array");
        return data;
    },
    decode: (data) => codec.decode(data)
});

/** The feature that lets options name a codec, such as "json", and checks the application's own codecs. */
export function namedCodecs(core) {
    const { findCodec } = core;
    core.findCodec = (given) => {
        const codec = findCodec(CODECS[given] ?? given);
        return isNamed(codec) ? codec : checkCodec(codec);
    };
}

/** The feature that checks the options passed to the core's methods. It is not part of the core because of its size. */
export function explainOptions(core) {
    const { join } = core.client;
    /** The latest room of each name, with the options of its first join(). A room that the server has chosen has no options. */
    const rooms = new Map();
    const guard = (api) => {
        const { on } = api;
        api.on = (event, listener, options, ...others) => on(event, listener, readOptions(options), ...others);
    };
    core.client.join = (name, given) => {
        const options = readOptions(given);
        const { codec, history } = options;
        const { room, options: first } = rooms.get(name) ?? {};
        if (/^(joining|open)$/.test(room?.api.state)) {
            // Other options would have no effect. Two codecs of the application may be two instances of the same codec, however.
            const found = codec == null ? room.codec : core.findCodec(codec);
            check(found === room.codec || !(isNamed(found) || isNamed(room.codec)), `"${name}" is joined already, with another codec`);
            check(history == null || !first || first.history >= 0, `"${name}" is joined already, without a history`);
        }
        return join(name, options);
    };
    guard(core.client);
    extendRooms(core, (room, options) => {
        const entry = { room, options };
        rooms.set(room.name, entry);
        room.api.on("close", () => rooms.get(room.name) === entry && rooms.delete(room.name));
        guard(room.api);
    });
}
