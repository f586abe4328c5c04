/**
 * Who is typing in a room. A message "typing" with "on" is valid for a few seconds and is repeated while the user types, so an
 * indicator ends by itself if its sender is gone. "off", or a message, ends it at once.
 *
 * @module typing
 */

import { nameElement } from "./names.js";

/** The time after which an indicator ends by itself, in milliseconds. */
const VALID = 8_000;

/** The time between two messages "on", in milliseconds: to single members, and to a room. */
const REPEAT_DIRECT = 3_000;
const REPEAT_ROOM = 6_000;

/** Up to this number of other members each gets a direct message: a room would remember a message to itself. */
const MOST_DIRECT = 8;

/** Above this number of other members nothing is sent. */
const MOST_OTHERS = 50;

/** Maximum number of indicators that are stored for a room. */
const MOST_STORED = 20;

/** The time between two announcements to screen readers, in milliseconds. */
const QUIET = 20_000;

const shown = document.getElementById("typing");
const spoken = document.getElementById("typing-news");
let spokenAt = -QUIET;
/** The indicator on the page, as text. */
let current = "";

/**
 * Creates the state of a conversation.
 *
 * @param {() => void} changed called when members start or stop typing
 */
export function createTyping(changed) {
    /** Timers by the ids of the members that type, in the order in which they began. */
    const timers = new Map();
    let sentAt = -Infinity;

    function stop(id) {
        clearTimeout(timers.get(id));
        timers.delete(id) && changed();
    }

    return {
        /** Returns the ids of the members that type. */
        ids: () => [...timers.keys()],
        stop,
        /** Handles a message "typing" of another member. */
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
        /** Reports what the user has written so far to the receiver of the whisper, or to all. */
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
        /** Records that the message was sent, which ends the indicator on the pages of others. */
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

/** Shows who types in the conversation on screen. */
export function showTyping(ids) {
    const key = ids.length > 2 ? String(ids.length) : ids.join();
    if (key === current) {
        return;
    }
    const wasEmpty = current === "";
    current = key;
    shown.replaceChildren(...describe(ids));
    // Once in a while: a screen reader would interrupt its user with each change.
    if (!wasEmpty || ids.length === 0) {
        spoken.textContent = "";
    } else if (performance.now() - spokenAt >= QUIET) {
        spokenAt = performance.now();
        spoken.textContent = shown.textContent;
    }
}
