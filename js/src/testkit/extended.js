/** The in-memory server's handling of info changes, login renewals, and errors about rejected packets.
 *
 * Other modules handle joins, messages and requests.
 *
 * @module testkit/extended
 */

import { EXPIRING, MEMBERS, ROOT } from "../limits.js";
import { encode, toBytes, toText } from "../packet.js";
import { DENIED } from "./message.js";
import { sendError } from "./requests.js";
import { checkNumber } from "./settings.js";

export const MOST_INFO_BYTES = 1024;

/** Returns true if a client has lost its socket while its session is kept. */
const isAway = ({ socket }) => !socket();

/** Encodes a member for clients with sessions: its id, its info, and its user if it has one. */
export const toEntry = ({ id, info, user }) => (user === undefined ? [id, info] : [id, info, user]);

/**
 * @param {object} about
 * @param {import("./index.js").ManualClock} about.clock
 * @param {Map<string, object>} about.conns the connections by id
 * @param {Map<string, Set<object>>} about.rooms members by room
 * @param {(room: string) => string} about.presenceOf
 * @param {(room: string) => boolean} about.announcesAway
 * @param {object} about.names
 * @param {object} about.application applies the rules `setInfo` and `renew`
 */
export function createExtended({ clock, conns, rooms, presenceOf, announcesAway, names, application }) {
    const announces = (name) => presenceOf(name) === "full" && announcesAway(name);

    /** Returns the members that are away, in the form of the part of a member list or change that reports them. */
    function away(name, members) {
        const ids = announces(name) ? members.filter(isAway).map(({ id }) => id) : [];
        return ids.length ? { away: ids } : {};
    }

    /** Notifies the other members of a client's rooms that the client is "away" or "back". */
    function announceChange(conn, change) {
        const bytes = toBytes(JSON.stringify({ [change]: [conn.id] }));
        for (const [name, members] of rooms) {
            if (members.has(conn) && announces(name)) {
                members.forEach((member) => member !== conn && member.session && member.deliver(encode(name, MEMBERS, "", "", bytes)));
            }
        }
    }

    /** Replaces a client's info, and notifies the members of its rooms. */
    function setInfo(conn, info) {
        if (JSON.stringify(info) === JSON.stringify(conn.info)) {
            return;
        }
        conn.info = info;
        const bytes = toBytes(JSON.stringify({ changed: [toEntry(conn)] }));
        for (const [name, members] of rooms) {
            if (members.has(conn)) {
                const mode = presenceOf(name);
                mode === "full" && members.forEach(({ session, deliver }) => session && deliver(encode(name, MEMBERS, "", "", bytes)));
                mode === "off" && conn.session && conn.deliver(encode(name, MEMBERS, conn.id, "", bytes));
            }
        }
    }

    /** Handles info sent by a client. Returns the reason if it is rejected. */
    function receiveInfo(conn, payload) {
        if (!application.hasRule("setInfo")) {
            return ["refused", "clients may not set their info", true];
        }
        let info;
        try {
            info = JSON.parse(toText(payload));
        } catch {
            // Invalid JSON.
        }
        if (info === undefined || payload.length > MOST_INFO_BYTES) {
            return ["invalid", "the info is not JSON, or too long", true];
        }
        if (!conn.takes.info()) {
            return ["busy", "too many changes of info", true];
        }
        return application.permits(conn, "setInfo", info) ? setInfo(conn, info) : DENIED;
    }

    /** Requests a new token from a client, and closes the connection if none arrives in time. */
    function askForToken(conn, milliseconds) {
        checkNumber("milliseconds", milliseconds);
        if (!conn.session) {
            return;
        }
        clock.clearTimeout(conn.loginTimer);
        conn.loginTimer = clock.setTimeout(() => conns.has(conn.id) && conn.api.close(1008, "login expired"), milliseconds);
        conn.isAsked = true;
        conn.deliver(encode(ROOT, EXPIRING, "", "", toBytes(JSON.stringify({ in: milliseconds }))));
    }

    /** Handles a token that the server has requested. */
    function receiveToken(conn, payload) {
        const token = toText(payload);
        conn.isAsked = false;
        if (application.permits(conn, "renew", token)) {
            conn.token = token;
            clock.clearTimeout(conn.loginTimer);
        }
    }

    /** Sends an extended client the reason why its packet was rejected. */
    function explain(conn, { room, event, to }, [code, message]) {
        const tag = /:[^:]*$/.exec(to)?.[0];
        if (!conn.session) {
            return;
        }
        if (tag && !event.startsWith("roomer:")) {
            // If a room's name exceeds the limit, the error does not repeat it.
            sendError(conn, names.isLong(room) ? ROOT : room, to.startsWith(":") ? to : `${conn.id}${tag}`, { code, message });
            return;
        }
        const error = { code, message, room: names.truncate(room), event: names.truncate(event) };
        conn.unreported ??= { error, count: 0 };
        conn.unreported.count++;
        conn.takes.error() && report(conn, error);
    }

    /** Sends one error about all packets that were rejected since the last one. By default, it is about the first of them. */
    function report(conn, error = conn.unreported?.error) {
        if (error) {
            const more = conn.unreported.count - 1;
            conn.unreported = undefined;
            sendError(conn, ROOT, "", { ...error, ...(more && { more }) });
        }
    }

    return { away, announceChange, setInfo, receiveInfo, askForToken, receiveToken, explain, report };
}
