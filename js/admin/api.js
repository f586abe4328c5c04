/** Requests to the HTTP API on this page's server.
 *
 * @module api
 */

/** The timeout of a request, in milliseconds. */
const TIMEOUT = 15_000;

/** The error for a request that the server has rejected; status 0 if the browser cannot send it. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** The API, with the rights of one key. */
export class Api {
    #key;

    constructor(key) {
        this.#key = key;
    }

    /** Reads the resource at a path; the parts of the path are names, not yet encoded. */
    get(parts, query = {}) {
        return this.#request("GET", parts, query);
    }

    remove(parts, query = {}) {
        return this.#request("DELETE", parts, query);
    }

    async #request(method, parts, query) {
        // A browser treats these names as steps in the path, even if they are encoded.
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
