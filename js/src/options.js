/**
 * Checks options, since a wrong value would otherwise cause an unrelated JavaScript error far from the call.
 *
 * @module options
 */

import { check } from "./error.js";
import { extendRooms } from "./feature.js";

/** Returns a call's options, or an empty object if they are null or undefined. */
export function readOptions(options) {
    const { signal } = (options ??= {});
    check(typeof options === "object", "options: an object");
    check(!signal || signal.addEventListener, "signal: an AbortSignal");
    return options;
}

/** Returns the checked options of connect(). */
export function readSettings(given) {
    const settings = { ...readOptions(given) };
    for (const name of ["isFinal", "random", "WebSocket"]) {
        settings[name] ??= undefined;
        check(typeof (settings[name] ?? check) === "function", `${name}: a function`);
    }
    return { ...settings, queue: readOptions(settings.queue) };
}

/** The feature that checks the options passed to the core's methods. It is not part of the core because of its size. */
export function explainOptions(core) {
    const guard = (api, name, at) => {
        const method = api[name];
        api[name] = (...args) => {
            args[at] = readOptions(args[at]);
            return method(...args);
        };
    };
    guard(core.client, "join", 1);
    guard(core.client, "on", 2);
    extendRooms(core, ({ api }) => guard(api, "on", 2));
}
