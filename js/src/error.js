/**
 * What goes wrong, in a form that code can tell apart.
 *
 * @module error
 */

/** An error of this client. `code` says what happened, the message what to do; see the table in the README. */
export class RoomerError extends Error {
    /**
     * @param {string} code
     * @param {string} message
     * @param {object} [details] `cause`, and what else belongs to this code, such as `closeCode`
     */
    constructor(code, message, details) {
        super(`roomer: ${message}`);
        Object.assign(this, details);
        this.name = "RoomerError";
        this.code = code;
    }
}

/** Refuses a wrong argument. */
export function check(condition, message) {
    if (!condition) {
        throw new RoomerError("argument", message);
    }
}

/** Refuses options that do not exist, so that a slip of the pen is noticed; returns them. */
export function checkKeys(options, known, what) {
    for (const key of Object.keys(options)) {
        check(known.split(" ").includes(key), `there is no option "${key}" of ${what}; there are: ${known}`);
    }
    return options;
}
