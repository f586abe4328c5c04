/**
 * What goes wrong, in a form that code can tell apart.
 *
 * @module error
 */

/** An error of this client. `code` says what happened, the message what to do; see the table in the README. */
export class RoomerError extends Error {
    name = "RoomerError";

    /**
     * @param {string} code
     * @param {string} message
     * @param {object} [details] `cause`, and what else belongs to this code, such as `closeCode`
     */
    constructor(code, message, details) {
        super(`roomer: ${code}: ${message}`);
        Object.assign(this, details, { code });
    }
}

/** Returns the error for a client that is closed. */
export const createClosedError = (details) => new RoomerError("closed", "connect() again", details);

/** Refuses a wrong argument. */
export function check(condition, message) {
    if (!condition) {
        throw new RoomerError("argument", message);
    }
}

/** Refuses options that do not exist, so that a misspelled name is noticed. */
export function refuse(others) {
    const [name] = Object.keys(others);
    check(name === undefined, `there is no option "${name}"`);
}
