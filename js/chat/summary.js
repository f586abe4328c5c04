/** Summarizes the joins, leaves and changed names between two messages in one line.
 *
 * A thousand joins therefore do not push the conversation out of view.
 *
 * @module summary
 */

import { hasTold, nameElement, nameOf } from "./names.js";

/** The maximum number of members that a summary names. The rest are only counted. */
const MOST_NAMES = 3;

/** The maximum number of names kept for members that have left. The oldest are dropped first. */
const MOST_KEPT = 2_000;

function keep(names, id, name) {
    names.set(id, name);
    if (names.size > MOST_KEPT) {
        names.delete(names.keys().next().value);
    }
}

/**
 * Creates a summary of events. A member that joins and leaves is reported as a brief visit, and one that leaves and rejoins is
 * not reported.
 */
export function createSummary() {
    /** Names of members that have joined, by id, as they were then: names of members that leave are dropped. */
    const came = new Map();
    const left = new Map();
    const passed = new Map();
    /** For each renamed member, its first name in this period, by id. */
    const renamed = new Map();

    /** Returns the joins and leaves, except those of clients that have reconnected, which have a new id. */
    function withoutReturned() {
        if (!left.size || !came.size) {
            return [came, left];
        }
        const gone = new Map([...left].map(([id, name]) => [name, id]));
        const newcomers = new Map(came);
        const missing = new Map(left);
        for (const id of came.keys()) {
            if (missing.delete(gone.get(nameOf(id)))) {
                newcomers.delete(id);
            }
        }
        return [newcomers, missing];
    }

    function people(names) {
        if (names.size > MOST_NAMES) {
            return [`${names.size} people`];
        }
        const parts = [];
        for (const [id, name] of names) {
            const before = parts.length === 0 ? [] : [parts.length === (names.size - 1) * 2 - 1 ? " and " : ", "];
            parts.push(...before, nameElement(id, hasTold(id) ? nameOf(id) : name));
        }
        return parts;
    }

    return {
        came(id) {
            came.set(id, nameOf(id));
        },
        left(id) {
            const name = nameOf(id);
            renamed.delete(id);
            keep(came.delete(id) ? passed : left, id, name);
        },
        /** Records a new name, unless the member has only just joined. */
        renamed(id, before) {
            if (!came.has(id)) {
                renamed.set(id, renamed.get(id) ?? before);
            }
        },
        /** Returns the summary as an array of texts and elements. */
        parts() {
            const all = [];
            const [newcomers, missing] = withoutReturned();
            const add = (...parts) => all.push(...(all.length ? [" · "] : []), ...parts);
            if (newcomers.size) {
                add(...people(newcomers), " joined");
            }
            if (passed.size) {
                add(...people(passed), " looked in");
            }
            if (missing.size) {
                add(...people(missing), " left");
            }
            if (renamed.size === 1) {
                const [[id, before]] = renamed;
                // Isolate the name so that its text direction does not affect the rest of the line.
                const old = document.createElement("bdi");
                old.textContent = before;
                add(old, " is now ", nameElement(id));
            } else if (renamed.size) {
                add(`${renamed.size} people changed their names`);
            }
            return all;
        }
    };
}
