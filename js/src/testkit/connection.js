/** The connections that the in-memory server shows to tests and handlers.
 *
 * @module testkit/connection
 */

/**
 * A connection's methods, and its properties that change. The getters belong to a class: those of an object literal would give
 * each connection a hidden class of its own, and tests create many connections.
 */
export class Connection {
    #conn;

    /** @param {object} conn the server's own state of the connection */
    constructor(conn, methods) {
        this.#conn = conn;
        Object.freeze(Object.assign(this, methods));
    }

    get url() {
        return this.#conn.url;
    }

    get token() {
        return this.#conn.token;
    }

    get info() {
        return this.#conn.info;
    }

    get isConnected() {
        return this.#conn.isConnected();
    }
}
