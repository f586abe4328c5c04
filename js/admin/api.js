/**
 * Requests to the HTTP API beside this page.
 *
 * @module api
 */

/** How long a request may take, in milliseconds. */
const TIMEOUT = 15_000;

/** A request that the server has refused. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** The API as one key sees it. */
export class Api {
    #key;

    constructor(key) {
        this.#key = key;
    }

    /** Reads what is at a path, whose parts are names. */
    get(parts, query = {}) {
        return this.#request("GET", parts, query);
    }

    remove(parts, query = {}) {
        return this.#request("DELETE", parts, query);
    }

    async #request(method, parts, query) {
        // A browser takes these, however they are encoded, for steps in the path.
        const step = parts.find((part) => [".", ".."].includes(part));
        if (step) {
            throw new Refused(0, `a browser cannot ask for the name "${step}"`);
        }
        const path = parts.map(encodeURIComponent).join("/");
        const parameters = new URLSearchParams(query);
        const response = await fetch(`/v1/${path}?${parameters}`, {
            method,
            headers: { authorization: `Bearer ${this.#key}` },
            cache: "no-store",
            credentials: "omit",
            redirect: "error",
            signal: AbortSignal.timeout(TIMEOUT)
        });
        const answer = await response.json().catch(() => ({}));
        if (!response.ok) {
            throw new Refused(response.status, answer.error?.message ?? `the server answers ${response.status}`);
        }
        return answer;
    }
}
