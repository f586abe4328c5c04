/** Read receipts.
 *
 * A message's sender sends a request to the receiver, whose page answers once the message is visible on the screen. Without
 * support for requests on the server, there are no receipts.
 *
 * @module seen
 */

/** The time to wait for the answer to a request, in milliseconds: an hour, since the receiver may be looking at another tab. */
const RECEIPT_TIMEOUT = 3_600_000;

/** The maximum number of other members in a room for which receipts are requested. */
const MOST_ASKED = 3;

/** For each observed element of a message: the function to call once the message has been seen. */
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
        // A new observation first reports the element's current state, so observe all elements again.
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

/** Ends the observation of an element that is removed. */
export function forgetElement(element) {
    observer.unobserve(element);
    waiting.delete(element);
}

/**
 * Creates a conversation's receipts. They record for each other member the latest of the user's messages that it has seen.
 *
 * @param {(line: object) => void} changed called when `line.seenBy` has changed
 */
export function createReceipts(changed) {
    /** The latest line that was sent to each member, by the member's id. */
    const sent = new Map();
    /** The latest line that each member has seen, by the member's id. */
    const seen = new Map();
    /** The members to which a request is pending. Each has at most one, however many messages were sent to it. */
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
            await room.request("seen", undefined, { to: id, timeout: RECEIPT_TIMEOUT });
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
        /**
         * Requests receipts for a line: from the receiver if it is a whisper, otherwise from all other members if the room is
         * small.
         */
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
        /** Called when the session has ended: in the next one, members have new ids. */
        clear() {
            sent.clear();
            seen.clear();
        }
    };
}
