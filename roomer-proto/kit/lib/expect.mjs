/**
 * Compares what a client does with what a case expects.
 *
 * A case's texts may contain variables: `${name}`. One without a value matches 1 to 16 letters or digits, such as a tag that
 * the client chooses, and takes that value.
 *
 * @module expect
 */

import { hasPayload, payloadOf } from "./packet.mjs";

const VARIABLE = /\$\{([\w:]+)\}/g;

/** Replaces the variables in all texts of a value. One that is the whole text keeps its type. */
export function fill(value, variables) {
    if (typeof value === "string") {
        const whole = /^\$\{([\w:]+)\}$/.exec(value)?.[1];
        return whole && variables.has(whole) ? variables.get(whole) : value.replace(VARIABLE, (text, name) => (variables.has(name) ? variables.get(name) : text));
    }
    if (Array.isArray(value)) {
        return value.map((each) => fill(each, variables));
    }
    return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fill(each, variables)])) : value;
}

/** Compares a text with one that may have variables without a value, and gives them values. */
function matchText(actual, expected, variables) {
    const names = [...expected.matchAll(VARIABLE)].map(([, name]) => name);
    if (!names.length) {
        return actual === expected;
    }
    const parts = expected.split(VARIABLE).map((part, n) => (n % 2 ? "([A-Za-z0-9]{1,16})" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
    const found = new RegExp(`^${parts.join("")}$`, "s").exec(actual);
    const values = found?.slice(1) ?? [];
    // Two variables are two requests, whose tags must differ.
    if (!found || values.some((value) => [...variables.values()].includes(value))) {
        return false;
    }
    names.forEach((name, n) => variables.set(name, values[n]));
    return true;
}

/** Returns true if a JSON value is as expected. Objects may have additional keys. */
export function matches(actual, expected, variables) {
    if (typeof expected === "string") {
        return typeof actual === "string" && matchText(actual, expected, variables);
    }
    if (Array.isArray(expected)) {
        return Array.isArray(actual) && actual.length === expected.length && expected.every((each, n) => matches(actual[n], each, variables));
    }
    if (expected && typeof expected === "object") {
        return !!actual && typeof actual === "object" && Object.entries(expected).every(([key, each]) => matches(actual[key], each, variables));
    }
    return actual === expected;
}

function matchPayload(actual, expected, variables) {
    if (expected.json === undefined) {
        return actual.equals(payloadOf(expected));
    }
    try {
        return matches(JSON.parse(actual), expected.json, variables);
    } catch {
        return false;
    }
}

/** Returns the first difference between a client's packet and the expected one. */
export function comparePacket(actual, expected, variables) {
    const { room, event, dst = "" } = expected;
    for (const [field, value] of Object.entries({ room, event, dst })) {
        if (!matchText(actual[field], value, variables)) {
            return `its ${field} is not ${JSON.stringify(value)}`;
        }
    }
    // A join and a leave may have any payload.
    const isFree = ["join", "leave"].includes(event) && !hasPayload(expected);
    return isFree || matchPayload(actual.payload, expected, variables) ? undefined : "its payload differs";
}

/** Returns the first difference between a client's event and the expected one. */
export function compareEvent(actual, { text, json, hex, fill, ...expected }, variables) {
    const payload = { text, json, hex, fill };
    const has = Object.values(payload).some((value) => value !== undefined);
    const wrong = Object.entries(expected).find(([key, value]) => !matches(actual[key], value, variables));
    if (wrong) {
        return `its ${wrong[0]} is not ${JSON.stringify(wrong[1])}`;
    }
    return !has || matchPayload(Buffer.from(actual.hex ?? "", "hex"), payload, variables) ? undefined : "its payload (hex) differs";
}

/** Returns members sorted by id. */
export const sortMembers = (members) => [...(members ?? [])].sort((a, b) => (a.id < b.id ? -1 : 1));
