/**
 * Typing indicators. A "typing" message with "on" is valid for a few seconds and is repeated while the user types, so an
 * indicator expires if its sender disappears. "off", or a chat message, ends it immediately.
 *
 * @module typing
 */

import { nameElement } from "./names.js";

/** How long an indicator stays valid, in milliseconds. */
const VALID = 8_000;

/** The time between two "on" messages in milliseconds, to single members and to a room. */
const REPEAT_DIRECT = 3_000;
const REPEAT_ROOM = 6_000;

/** Up to this many other members receive direct messages, which a room does not keep in its history. */
const MOST_DIRECT = 8;

/** With more other members than this, no indicator is sent. */
const MOST_OTHERS = 50;

/** The maximum number of indicators stored per room. */
const MOST_STORED = 20;

/** The minimum time between two announcements to screen readers, in milliseconds. */
const QUIET = 20_000;

const shown = document.getElementById("typing");
const spoken = document.getElementById("typing-news");
let spokenAt = -QUIET;
/** The text of the indicator on the page. */
let current = "";

/**
 * Creates a conversation's typing state.
 *
 * @param {() => void} changed called when members start or stop typing
 */
export function createTyping(changed) {
    /** Timers by the ids of typing members, in the order in which they began to type. */
    const timers = new Map();
    let sentAt = -Infinity;

    function stop(id) {
        clearTimeout(timers.get(id));
        timers.delete(id) && changed();
    }

    return {
        /** Returns the ids of the typing members. */
        ids: () => [...timers.keys()],
        stop,
        /** Handles another member's "typing" message. */
        heard(id, isOn) {
            if (!isOn) {
                return stop(id);
            }
            const isNew = !timers.has(id);
            if (!isNew || timers.size < MOST_STORED) {
                clearTimeout(timers.get(id));
                timers.set(id, setTimeout(stop, VALID, id));
                isNew && changed();
            }
        },
        clear: () => [...timers.keys()].forEach(stop),
        /** Sends the user's typing state to the receiver of the whisper, or to all members. */
        wrote(room, text, to) {
            const isOn = text.trim() !== "";
            const others = to ? 1 : room.count - 1;
            const isDirect = others <= MOST_DIRECT;
            const now = performance.now();
            const isDue = isOn ? now - sentAt >= (isDirect ? REPEAT_DIRECT : REPEAT_ROOM) : sentAt > -Infinity;
            if (!isDue || room.state !== "open" || others > MOST_OTHERS) {
                return;
            }
            sentAt = isOn ? now : -Infinity;
            const receivers = to ? [to] : isDirect ? room.members().filter((id) => id !== room.id) : [undefined];
            receivers.forEach((id) => room.send("typing", isOn ? "on" : "off", id));
        },
        /** Records that the message was sent, which ends the indicator for other members. */
        sent() {
            sentAt = -Infinity;
        }
    };
}

/** Returns the indicator as texts and elements. */
function describe([one, two, ...others]) {
    return others.length ? [`${others.length + 2} people are typing…`]
        : two ? [nameElement(one), " and ", nameElement(two), " are typing…"]
        : one ? [nameElement(one), " is typing…"]
        : [];
}

/** Shows who is typing in the conversation on screen. */
export function showTyping(ids) {
    const key = ids.length > 2 ? String(ids.length) : ids.join();
    if (key === current) {
        return;
    }
    const wasEmpty = current === "";
    current = key;
    shown.replaceChildren(...describe(ids));
    // Announce changes only occasionally, since a screen reader would interrupt the user each time.
    if (!wasEmpty || ids.length === 0) {
        spoken.textContent = "";
    } else if (performance.now() - spokenAt >= QUIET) {
        spokenAt = performance.now();
        spoken.textContent = shown.textContent;
    }
}
