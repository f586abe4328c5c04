/** Typing indicators.
 *
 * A "typing" message with "on" is valid for a few seconds, and the sender repeats it while the user types, so an indicator
 * expires if its sender disappears. A message with "off", or a chat message, ends the indicator immediately.
 *
 * @module typing
 */

import { nameElement } from "./names.js";

/** The time for which an indicator stays valid, in milliseconds. */
const VALID = 8_000;

/** The time between two "on" messages to individual members, in milliseconds. */
const REPEAT_DIRECT = 3_000;
/** The time between two "on" messages to a room, in milliseconds. */
const REPEAT_ROOM = 6_000;

/** Up to this many other members receive the message directly, since a room's history would keep a message to the room. */
const MOST_DIRECT = 8;

/** In rooms with more other members than this, no indicator is sent. */
const MOST_OTHERS = 50;

/** The maximum number of typing members tracked per room. */
const MOST_STORED = 20;

/** The minimum time between two announcements to screen readers, in milliseconds. */
const QUIET = 20_000;

const shown = document.getElementById("typing");
const spoken = document.getElementById("typing-news");
let spokenAt = -QUIET;
/** The text of the indicator currently on the page. */
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
        /** Returns the ids of the typing members, in the order in which they began. */
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
        /** Called when the user types: sends the typing state to the receiver of a whisper, or to all members. */
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
        /** Called when a message was sent. The message ends the indicator for other members. */
        sent() {
            sentAt = -Infinity;
        }
    };
}

/** Returns the indicator's line as texts and elements. */
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
