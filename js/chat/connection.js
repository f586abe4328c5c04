/** Connects to this page's server.
 *
 * @module connection
 */

import { connect } from "../src/index.js";

const token = new URLSearchParams(location.search).get("token");

/** HTTP statuses after which a retry would also fail, if the server has sent them. */
const REFUSALS = [401, 403];

/** The header with which the server marks its own rejections. During an outage, a proxy may reject every request. */
const MARK = "roomer-status";

/**
 * Returns true for errors that the user need not see: a peer's payload that does not decode, a message to a member that has just
 * left, and a name that the server rejects as info, which is then sent as a message.
 */
const isExpected = ({ code, kind, event }) => code === "payload" || (code === "rejected" && (kind === "gone" || event === "roomer:info"));

/**
 * Returns the reason why the server rejected the WebSocket. Browsers hide it, but a plain request to the same address returns it.
 */
async function whyRefused() {
    const address = new URL("/ws", location.href);
    if (token !== null) {
        address.searchParams.set("token", token);
    }
    try {
        const answer = await fetch(address, { cache: "no-store" });
        return REFUSALS.includes(answer.status) && answer.headers.has(MARK) ? (await answer.text()).trim().slice(0, 200) || `status ${answer.status}` : "";
    } catch {
        // The server is unreachable, so the client keeps trying.
        return "";
    }
}

/**
 * Creates the connection, which reconnects automatically.
 *
 * @param {object} hooks
 * @param {(state: string, problem: string) => void} hooks.changed receives the client's state and, if it is closed, the reason
 * @param {(client: object) => void} hooks.started receives each new client before it connects
 * @returns {{ start: () => void, client: object }}
 */
export function createConnection({ changed, started }) {
    const connection = { client: null, start };

    function start() {
        const client = connect("/ws", { codec: "text", ...(token === null ? {} : { token }) });
        let problem = "";
        let wasOpen = false;
        connection.client = client;
        client.on("state", async (state, error) => {
            changed(state, problem || error?.reason || error?.message || "");
            const wasRefused = state === "suspended" && !wasOpen;
            wasOpen = state === "open";
            if (wasRefused && (problem = await whyRefused())) {
                client.close();
            }
        });
        client.on("error", (error) => isExpected(error) || console.error(error));
        started(client);
        changed(client.state, "");
    }

    return connection;
}
