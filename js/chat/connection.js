/**
 * The connection to the server of this page.
 *
 * @module connection
 */

import { connect } from "../src/index.js";

const token = new URLSearchParams(location.search).get("token");

/** Statuses after which another request would fail too. */
const REFUSALS = [401, 403];

/**
 * Returns true for errors that do not concern the user: a payload of a peer that does not fit, a message to a member that has just
 * left, and a name that the server does not keep, which is sent as a message then.
 */
const isExpected = ({ code, kind, event }) => code === "payload" || (code === "rejected" && (kind === "gone" || event === "roomer:info"));

/** A browser hides why a WebSocket was rejected; a plain request to the same address shows it. */
async function whyRefused() {
    const address = new URL("/ws", location.href);
    if (token !== null) {
        address.searchParams.set("token", token);
    }
    try {
        const answer = await fetch(address, { cache: "no-store" });
        return REFUSALS.includes(answer.status) ? (await answer.text()).trim().slice(0, 200) || `status ${answer.status}` : "";
    } catch {
        // The server is not there at all: the client keeps trying.
        return "";
    }
}

/**
 * Connects, and reconnects by itself.
 *
 * @param {object} hooks
 * @param {(state: string, problem: string) => void} hooks.changed the state of the client, and why it is closed
 * @param {(client: object) => void} hooks.started there is a new client, before it connects
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
