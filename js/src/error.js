/**
 * Error classes and checks.
 *
 * @module error
 */

/** An error reported by this client. `code` is its kind; the table in the README lists each one's cause and remedy. */
export class RoomerError extends Error {
    name = "RoomerError";

    /**
     * @param {string} code
     * @param {string} message
     * @param {object} [details] `cause`, and further properties of this code, such as `closeCode`
     */
    constructor(code, message, details) {
        super(`${code}: ${message}`);
        Object.assign(this, details, { code });
    }
}

/** Returns the error for a client or a room that is closed. */
export const createClosedError = (cause) => wrap("closed", cause, "join anew");

/** Wraps a cause in an error. The cause is also the message, unless another one is given. */
export const wrap = (code, cause, message = cause) => new RoomerError(code, message, { cause });

/** Throws an `argument` error unless the condition holds. */
export function check(condition, message) {
    if (!condition) {
        throw new RoomerError("argument", message);
    }
}

/** Throws for any options besides the known ones so that misspelled names are noticed. */
export function rejectUnknown(others) {
    for (const name in others) {
        check(false, `no option "${name}"`);
    }
}
