/** Error classes and checks.
 *
 * @module error
 */

/** An error reported by this client. `code` is its kind; the README lists the cause and remedy of each code. */
export class RoomerError extends Error {
    name = "RoomerError";

    /**
     * @param {string} code
     * @param {string} message
     * @param {object} [details] `cause`, and properties that belong to this code, such as `closeCode`
     */
    constructor(code, message, details) {
        super(`${code}: ${message}`);
        Object.assign(this, details, { code });
    }
}

/** Returns the error for a call on a client or room that is closed. */
export const createClosedError = (cause) => wrap("closed", cause, "join anew");

/** Wraps a cause in an error. By default, the cause is also the error's message. */
export const wrap = (code, cause, message = cause) => new RoomerError(code, message, { cause });

/** Throws an `argument` error unless the condition holds. */
export function check(condition, message) {
    if (!condition) {
        throw new RoomerError("argument", message);
    }
}

/** Throws an `argument` error if there are options besides the known ones, so that misspelled names are noticed. */
export function rejectUnknown(others) {
    for (const name in others) {
        check(false, `no option "${name}"`);
    }
}
