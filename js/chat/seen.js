/**
 * Receipts: which messages other members have seen. The sender asks the receiver by a request, which the receiver's page answers when the
 * message is on the screen. Pages of servers without requests neither ask nor answer.
 *
 * @module seen
 */

/** The time limit of a request, in milliseconds: the receiver may be looking at another tab. */
const PATIENCE = 3_600_000;

/** Above this number of other members no member is asked. */
const MOST_ASKED = 3;

/** By element of a message, the function to call when it has been seen. */
const waiting = new Map();
const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
        if (isIntersecting && !document.hidden) {
            observer.unobserve(target);
            const action = waiting.get(target);
            waiting.delete(target);
            action?.();
        }
    }
}, { root: document.getElementById("log") });

document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
        // An observer first reports the current state of each element.
        for (const element of waiting.keys()) {
            observer.unobserve(element);
            observer.observe(element);
        }
    }
});

/** Calls a function once an element of the log is on the screen, and the page is visible. */
export function whenSeen(element, action) {
    waiting.set(element, action);
    observer.observe(element);
}

/** Forgets an element that is removed. */
export function forgetElement(element) {
    observer.unobserve(element);
    waiting.delete(element);
}

/**
 * Creates the receipts of a conversation: each other member has seen the client's messages up to one line.
 *
 * @param {(line: object) => void} changed called when `line.seenBy` has changed
 */
export function createReceipts(changed) {
    /** The latest line that was sent to each member, by the member's id. */
    const sent = new Map();
    /** The latest line that each member has seen, by the member's id. */
    const seen = new Map();
    /** The members with a request that is not answered: one each, however many messages there are. */
    const asked = new Set();

    function move(id, line) {
        const before = seen.get(id);
        if (before !== line) {
            before?.seenBy.delete(id);
            before && changed(before);
            seen.set(id, line);
            line.seenBy.add(id);
            changed(line);
        }
    }

    async function ask(room, id) {
        const line = sent.get(id);
        asked.add(id);
        try {
            await room.request("seen", undefined, { to: id, timeout: PATIENCE });
            move(id, line);
        } catch {
            // The receiver has left, or has another page. There is no receipt then.
        }
        asked.delete(id);
        const latest = sent.get(id);
        if (latest && latest !== line) {
            ask(room, id);
        }
    }

    return {
        /** Asks the receiver of a whisper, or the other members of a small room. */
        sent(room, line, to) {
            const others = to ? [to] : room.count - 1 > MOST_ASKED ? [] : room.members().filter((id) => id !== room.id);
            line.receivers = others.length;
            line.seenBy = new Set();
            // A member without info has another page, or the server does not have requests.
            for (const id of others.filter((each) => room.member(each)?.info)) {
                sent.set(id, line);
                asked.has(id) || ask(room, id);
            }
        },
        /** Handles the end of the session, in which members had their ids. */
        clear() {
            sent.clear();
            seen.clear();
        }
    };
}
