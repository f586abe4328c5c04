/** Checks the arguments that a test passes to the in-memory server, and throws errors for mistakes.
 *
 * @module testkit/settings
 */

import { check, rejectUnknown } from "../error.js";
import { createClock } from "./clock.js";
import { RESERVED } from "./names.js";

const PRESENCE = ["full", "count", "off"];

/** Checks that a value is a number in a range. */
export function checkNumber(name, value, least = 0, most = Number.MAX_VALUE) {
    check(typeof value === "number" && value >= least && value <= most, `"${name}" must be a number from ${least}${most < Number.MAX_VALUE ? ` to ${most}` : ""}`);
}

function checkCount(name, value, least = 0) {
    check(Number.isSafeInteger(value) && value >= least, `"${name}" must be an integer from ${least}`);
}

export function checkFunction(name, value) {
    check(typeof value === "function", `"${name}" must be a function`);
}

/** Checks a rate. If it is undefined, there is no limit. */
function checkRate(name, rate, least) {
    if (rate === undefined) {
        return;
    }
    check(rate !== null && typeof rate === "object", `"${name}" must be a rate: { perSecond, burst }`);
    const { perSecond, burst = perSecond, ...others } = rate;
    rejectUnknown(others);
    // With a burst below one token, every packet would be rejected.
    checkNumber(`${name}.perSecond`, perSecond, least && Number.MIN_VALUE);
    checkNumber(`${name}.burst`, burst, least);
}

/** Checks the rate of bytes. As on a real server, its burst must admit a message of the maximum size. */
function checkByteRate(rate, maxMessage) {
    checkRate("byteRate", rate, 1);
    const { perSecond, burst = perSecond } = rate ?? {};
    check(!(burst < maxMessage), `"byteRate.burst" (${burst}) must not be below "maxMessage" (${maxMessage})`);
}

/** Returns a server's settings, with defaults for those that are not given. The default limits are a real server's. */
export function readSettings(settings) {
    check(settings !== null && typeof settings === "object", "the settings must be an object");
    const { latency = 0, clock = createClock(), messageRate, byteRate, joinRate, violationRate = { perSecond: 1, burst: 256 }, presence = () => "full", ...more } = settings;
    const { plain = false, resumeWindow = 30_000, resumeBuffer = 2 ** 18, retryWindow = 10_000, history = 0, announceAway = () => false, ...limits } = more;
    const { maxMessage = 2 ** 24, maxName = 4096, maxRooms = 1100, maxRequests = 64, ...others } = limits;
    rejectUnknown(others);
    ["now", "setTimeout", "clearTimeout", "advance", "sleep"].forEach((name) => checkFunction(`clock.${name}`, clock?.[name]));
    Object.entries({ maxMessage, maxName, maxRooms }).forEach(([name, value]) => checkCount(name, value, 1));
    checkRate("messageRate", messageRate, 1);
    checkRate("joinRate", joinRate, 1);
    checkRate("violationRate", violationRate, 0);
    checkByteRate(byteRate, maxMessage);
    checkFunction("presence", presence);
    checkFunction("announceAway", announceAway);
    check(typeof plain === "boolean", '"plain" must be true or false');
    Object.entries({ latency, resumeWindow, retryWindow }).forEach(([name, value]) => checkNumber(name, value));
    checkCount("resumeBuffer", resumeBuffer);
    typeof history === "function" || checkCount("history", history);
    checkCount("maxRequests", maxRequests);
    /** Returns a room's presence mode, which the test's function chooses. */
    const presenceOf = (room) => {
        const mode = presence(room);
        check(PRESENCE.includes(mode), `"presence" must return one of "${PRESENCE.join('", "')}"`);
        return mode;
    };
    const historyOf = (room) => {
        const size = plain ? 0 : typeof history === "function" ? history(room) : history;
        checkCount("history", size);
        return size;
    };
    return { latency, clock, messageRate, byteRate, joinRate, violationRate, presenceOf, historyOf, announcesAway: announceAway, plain, resumeWindow, resumeBuffer, retryWindow, maxMessage, maxName, maxRooms, maxRequests };
}

/** Checks the arguments for registering a handler. */
export function checkHandler(event, handler) {
    check(typeof event === "string" && event !== "", "the event must be a string");
    check(!RESERVED.includes(event) && !["join", "leave"].includes(event) && !event.startsWith("roomer:"), `the event "${event}" belongs to the protocol`);
    checkFunction("handler", handler);
}

/** Checks a close code. Codes that a client can observe but not receive, such as 1006, are also permitted. */
export function checkCloseCode(code) {
    check(Number.isInteger(code) && code >= 1000 && code <= 4999, `${code} is not a close code: they are integers from 1000 to 4999`);
}
