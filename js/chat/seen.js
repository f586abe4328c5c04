/**
 * Read receipts. The sender sends a request to the receiver, whose page answers when the message is on the screen. Servers that
 * do not support requests have no receipts.
 *
 * @module seen
 */

/** The timeout for a request, in milliseconds. It is long because the receiver may be looking at another tab. */
const PATIENCE = 3_600_000;

/** Receipts are requested only from this many other members or fewer. */
const MOST_ASKED = 3;

/** The function to call when a message has been seen, by the message's element. */
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
        // A new observation first reports the current state of each element, so observe all of them again.
        for (const element of waiting.keys()) {
            observer.unobserve(element);
            observer.observe(element);
        }
    }
});

/** Calls a function once a log element is visible on a visible page. */
export function whenSeen(element, action) {
    waiting.set(element, action);
    observer.observe(element);
}

/** Stops observing an element that is removed. */
export function forgetElement(element) {
    observer.unobserve(element);
    waiting.delete(element);
}

/**
 * Creates a conversation's receipts. Each other member has seen the client's messages up to some line.
 *
 * @param {(line: object) => void} changed called when `line.seenBy` has changed
 */
export function createReceipts(changed) {
    /** The latest line that was sent to each member, by the member's id. */
    const sent = new Map();
    /** The latest line that each member has seen, by the member's id. */
    const seen = new Map();
    /** The members with a pending request: at most one each, regardless of the number of messages. */
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
            // The receiver has left or uses another page, so there is no receipt.
        }
        asked.delete(id);
        const latest = sent.get(id);
        if (latest && latest !== line) {
            ask(room, id);
        }
    }

    return {
        /** Sends requests to the receiver of a whisper, or to the other members of a small room. */
        sent(room, line, to) {
            const others = to ? [to] : room.count - 1 > MOST_ASKED ? [] : room.members().filter((id) => id !== room.id);
            line.receivers = others.length;
            line.seenBy = new Set();
            // Skip members without info: they use another page, or the server does not support requests.
            for (const id of others.filter((each) => room.member(each)?.info)) {
                sent.set(id, line);
                asked.has(id) || ask(room, id);
            }
        },
        /** Handles the end of the session. Members have new ids afterwards. */
        clear() {
            sent.clear();
            seen.clear();
        }
    };
}
