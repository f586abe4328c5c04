/** The test's final closes of sessions, kept for clients that have not received the close frame.
 *
 * When such a client returns, it is closed with the same code and reason, as by a real server, instead of getting a new
 * session.
 *
 * @module testkit/closes
 */

/** Reasons with which the server itself closes a connection. Such a close is not kept, and some are not final. */
const OWN_REASONS = ["rate", "too many violations", "login expired", "no sign of life", "replaced by a newer connection", "text is not served here; send binary"];

/** Returns true if this is a close by an application after which clients do not reconnect. */
const isFinal = (code, reason) => [1000, 1003, 1008].includes(code) && !OWN_REASONS.includes(reason) || code >= 3000;

/**
 * @param {() => number} now
 * @param {number} window how long a client may return, in milliseconds
 */
export function createCloses(now, window) {
    /** The closes by the connection's id, oldest first. */
    const closes = new Map();

    function dropExpired() {
        for (const [id, { until }] of closes) {
            if (until > now()) {
                return;
            }
            closes.delete(id);
        }
    }

    return {
        /** Keeps the close of an open connection, if it is final and the client may return. */
        keep({ id, session, user }, code, reason) {
            dropExpired();
            if (session && window && isFinal(code, reason)) {
                closes.set(id, { tokens: session.tokens(), user, code, reason, until: now() + window });
            }
        },
        /** Returns the id, code and reason of the close for a client that returns with this token as this user, if one is kept. */
        find(token, user) {
            dropExpired();
            const id = token?.split(".")[0];
            const close = closes.get(id);
            return close?.user === user && close?.tokens.includes(token) ? { id, ...close } : undefined;
        },
        /** Drops the close of a client that has answered the close frame, with the same code. */
        answered: (id, code) => closes.get(id)?.code === code && closes.delete(id)
    };
}
