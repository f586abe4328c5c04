/** The application's part of the in-memory server: its rules, and the errors in rules and handlers that are reported to the test.
 *
 * @module testkit/application
 */

import { check, rejectUnknown } from "../error.js";
import { checkFunction } from "./settings.js";

/** Returns the description of a value for an error message. */
function describe(value) {
    return typeof value?.then === "function" ? "a promise: rules are not asynchronous" : value === null || typeof value !== "object" ? `${value}` : "an object";
}

function checkVerdict(name, verdict) {
    // The rule returned a promise, which the error below reports. Its own rejection must not be reported as unhandled.
    verdict?.then?.(null, () => {});
    const isBoolean = typeof verdict === "boolean";
    if (name !== "connect") {
        return check(isBoolean, `the rule "${name}" must return true or false, not ${describe(verdict)}`);
    }
    const isProfile = verdict !== null && typeof verdict === "object" && typeof verdict.then !== "function";
    check(isBoolean || isProfile, `the rule "connect" must return true, false or { info, user }, not ${describe(verdict)}`);
    const { info, user, ...others } = verdict;
    rejectUnknown(others);
    return check(user === undefined || typeof user === "string", 'the rule "connect" must return a string as the user');
}

/** @param {import("./index.js").ManualClock} clock */
export function createApplication(clock) {
    const rules = { connect: () => true, join: () => true, setInfo: undefined, renew: () => true };
    /** All rule and handler errors, in order. */
    const errors = [];
    const rejected = [];
    let mayFail = false;

    /** Records an error. Unless the test expects errors, the next advance() throws it. */
    function report(error) {
        errors.push(error);
        clock.setTimeout(() => {
            if (!mayFail) {
                throw error;
            }
        }, 0);
    }

    const application = {
        report,
        reject: ({ room, event }, [kind, message]) => void rejected.push({ room, event, kind, message }),
        hasRule: (name) => !!rules[name],
        /** Applies a rule and returns its result; undefined if the rule fails. */
        decide(name, ...args) {
            try {
                const verdict = rules[name](...args);
                checkVerdict(name, verdict);
                return verdict;
            } catch (error) {
                return report(error);
            }
        },
        /** Applies a rule to a client. If the rule fails, the client's connection is closed, as on a real server. */
        permits(conn, name, ...args) {
            const verdict = application.decide(name, conn.api, ...args);
            verdict === undefined && conn.api.close(1011, "handler failed");
            return verdict;
        },
        /** Runs a message handler. If it throws, or its promise rejects, the client's connection is closed. */
        run(conn, handler, message) {
            const failed = (error) => {
                conn.api.close(1011, "handler failed");
                report(error);
            };
            try {
                handler(conn.api, message)?.then?.(null, failed);
            } catch (error) {
                failed(error);
            }
        },
        /** The server methods that belong to the application. */
        api: {
            allow(changes) {
                check(changes !== null && typeof changes === "object", "the rules must be an object");
                for (const [name, rule] of Object.entries(changes)) {
                    check(Object.hasOwn(rules, name), `there is no rule "${name}"`);
                    rule === undefined || checkFunction(name, rule);
                    rules[name] = rule ?? rules[name];
                }
            },
            allowErrors: () => void (mayFail = true),
            errors: () => [...errors],
            rejected: () => [...rejected]
        }
    };
    return application;
}
