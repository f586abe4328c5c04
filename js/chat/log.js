/** A room's log: messages, and lines about events between the messages.
 *
 * New lines are collected and become elements once per frame, newest first. A line that a flood removes before then never
 * becomes an element.
 *
 * @module log
 */

import { RoomerError } from "../src/index.js";
import { paint, paintNews, scroll } from "./frame.js";
import { withLinks } from "./links.js";
import { nameElement, showFace, showName } from "./names.js";
import { forgetElement, whenSeen } from "./seen.js";
import { createSummary } from "./summary.js";

/** The maximum number of messages kept. Between two messages there are at most two other lines. */
const MAX_MESSAGES = 300;

/** Consecutive messages from one sender are grouped if they arrive within this time, in milliseconds. */
const TOGETHER = 180_000;

/** The maximum number of lines that become elements in one frame; older ones wait for the next frame. */
const MOST_NEW = 60;

/** If more lines than this appear together, they are not animated. */
const MOST_MOVING = 3;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const box = document.getElementById("log");
const latest = document.getElementById("latest");
const template = document.getElementById("message-template").content.firstElementChild;
const headTemplate = document.getElementById("head-template").content;
const labelTemplate = document.getElementById("label-template").content.firstElementChild;

/** A message with this many lines or more scrolls in its own box, so that it does not push all others out of view. */
const TALL = 40;

/** The log on the screen. */
let shown = null;
/** True while that log is scrolled to its end and should stay there. */
let isFollowing = true;

/** The last formatted minute, as a number and as text. */
let minute = { number: NaN, text: "" };

function fillTime(element, date) {
    const number = Math.floor(date / 60_000);
    if (number !== minute.number) {
        const text = clock.format(date);
        if (text.length !== minute.text.length) {
            box.style.setProperty("--time-length", text.length);
        }
        minute = { number, text };
    }
    element.dateTime = date.toISOString();
    element.textContent = minute.text;
    return element;
}

function toEnd() {
    box.scrollTop = box.scrollHeight;
}

/** Scrolls to the end of the log and keeps it in view. */
export function follow() {
    isFollowing = true;
    latest.hidden = true;
    scroll(toEnd);
}

box.addEventListener("scroll", () => {
    isFollowing = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    latest.hidden ||= isFollowing;
});
latest.addEventListener("click", follow);
new ResizeObserver(() => isFollowing && toEnd()).observe(box);

/** The texts about a message's delivery, by state. */
const FATES = {
    queued: "waits for the connection",
    lost: "may not have arrived",
    unsent: "was not sent",
    dropped: "not sent: too much is waiting"
};

/**
 * @param {string} name the room's name
 * @param {object} actions
 * @param {(id: string) => void} actions.whisper starts a whisper to a message's author
 */
export function createLog(name, { whisper }) {
    const list = document.createElement("ol");
    list.addEventListener("click", ({ target }) => {
        const author = target.closest(".author");
        author && whisper(author.dataset.nameOf);
    });
    list.hidden = true;
    list.dataset.log = name;
    box.append(list);
    /** All lines, oldest first: { kind, element?, isStale, … }. */
    let lines = [];
    let messages = 0;
    /** Elements of removed lines, to be removed from the page. */
    let gone = [];
    /** Lines about events since the last message, at most one per kind. */
    let since = {};
    let last = null;
    let isQuiet = false;

    function push(line) {
        lines.push(line);
        if (line.kind === "message" && ++messages > MAX_MESSAGES) {
            // Remove this message and all lines before it.
            const end = lines.findIndex(({ kind }) => kind === "message") + 1;
            const old = lines.splice(0, end);
            old.forEach(forgetReaders);
            gone.push(...old.flatMap(({ element }) => element ?? []));
            messages--;
        }
        (line.kind === "notice" || line.isOwn ? paint : paintNews)(update);
        return line;
    }

    /** Called when a line is removed: ends the observation of its element, and fails the requests that wait for it to be seen. */
    function forgetReaders(line) {
        line.element && forgetElement(line.element);
        line.readers?.forEach(([, fail]) => fail(new RoomerError("gone", "the message is not on the page")));
    }

    function changed(line) {
        line.isStale = true;
        (line.kind === "people" ? paintNews : paint)(update);
    }

    /** Returns the line for this kind of event since the last message, creates it if necessary, and moves it to the end. */
    function event(kind, make) {
        const line = since[kind] ?? make();
        since[kind] = line;
        line.time = new Date();
        if (lines.at(-1) !== line) {
            lines = lines.filter((each) => each !== line);
            line.isMoved = !!line.element;
            push(line);
        }
        changed(line);
        return line;
    }

    function fillNotice(line) {
        line.element ??= document.createElement("li");
        line.element.className = "notice";
        line.element.dataset.kind = line.kind;
        line.element.replaceChildren(...(line.summary?.parts() ?? [line.text]), fillTime(document.createElement("time"), line.time));
        line.element.hidden = line.element.childNodes.length < 2 || (isQuiet && line.kind === "people");
    }

    function makeMessage(line) {
        const { src, to, isOwn, isDirect } = line;
        const item = template.cloneNode(true);
        const [text, time] = item.firstElementChild.children;
        Object.assign(item.dataset, { kind: isDirect ? "whisper" : "chat", src });
        item.classList.toggle("own", isOwn);
        item.classList.toggle("follow", line.isFollowing);
        text.append(...withLinks(line.text));
        item.classList.toggle("tall", line.text.split("\n", TALL).length === TALL);
        item.classList.toggle("past", !line.time);
        line.time ? fillTime(time, line.time) : time.remove();
        // The user's own message has a head only if it is a whisper, and then the head omits the author's name.
        if (!line.isFollowing && (!isOwn || isDirect)) {
            item.prepend(...makeHead(line));
        }
        return item;
    }

    function makeHead({ src, to, isOwn, isDirect, name }) {
        const [face, head] = headTemplate.cloneNode(true).children;
        const [author] = head.children;
        showFace(face, src);
        showName(author, src, name);
        if (isDirect) {
            const label = labelTemplate.cloneNode(true);
            label.lastElementChild.append(...(to ? ["whisper to ", nameElement(to)] : ["whisper to you"]));
            head.append(label);
        }
        isOwn && author.remove();
        return isOwn ? [head] : [face, head];
    }

    /** Returns the text below a message: its delivery state, and which members have seen it. */
    function noteOf({ state, seenBy, receivers }) {
        if (FATES[state] || !seenBy?.size) {
            return FATES[state] ? [FATES[state]] : [];
        }
        const names = seenBy.size < receivers ? [...seenBy].map((id) => nameElement(id)) : [];
        return ["Seen", ...names.flatMap((name, n) => [n ? " and " : " by ", name])];
    }

    /** Creates a message's element on the first call, and updates its delivery state. */
    function fillMessage(line) {
        line.element ??= makeMessage(line);
        line.readers?.length && whenSeen(line.element, () => line.readers.splice(0).forEach(([seen]) => seen()));
        const note = noteOf(line);
        const shown = line.element.querySelector(".fate");
        line.element.classList.toggle("unsent", line.state in FATES);
        if (note.length) {
            const element = shown ?? line.element.appendChild(document.createElement("p"));
            element.className = "fate";
            element.replaceChildren(...note);
        } else {
            shown?.remove();
        }
    }

    function update() {
        gone.forEach((element) => element.remove());
        gone = [];
        const fresh = [];
        let hasMoved = false;
        let next = null;
        let areWaiting = false;
        for (let n = lines.length - 1; n >= 0; n--) {
            const line = lines[n];
            const isNew = !line.element;
            if (isNew && fresh.length === MOST_NEW) {
                areWaiting = true;
                continue;
            }
            if (isNew || line.isStale) {
                line.isStale = false;
                (line.kind === "message" ? fillMessage : fillNotice)(line);
            }
            if (isNew || line.isMoved) {
                hasMoved ||= line.isMoved;
                line.isMoved = false;
                isNew && fresh.push(line);
                list.insertBefore(line.element, next);
            }
            next = line.element;
        }
        areWaiting && paintNews(update);
        if (shown !== list || !(fresh.length || hasMoved)) {
            // A note below a message makes the log longer.
            shown === list && isFollowing && scroll(toEnd);
            return;
        }
        if (fresh.length <= MOST_MOVING && !calm.matches) {
            fresh.forEach(({ element }) => element.animate({ opacity: [0, 1], translate: ["0 4px", "0 0"] }, { duration: 160, easing: "ease-out" }));
        }
        if (isFollowing || fresh.some(({ isOwn }) => isOwn)) {
            follow();
        } else {
            latest.hidden = false;
        }
    }

    const people = () => event("people", () => ({ kind: "people", summary: createSummary() }));

    return {
        /**
         * Adds a message. `to` is the receiver if the message is the user's own whisper. A message from the history is shown
         * without its time, which is unknown. Returns the message's line, for `mark`.
         */
        message({ src, name: author, text, to, isOwn, isDirect = false, isPast = false, state = "sent" }) {
            const time = isPast ? null : new Date();
            const key = `${isDirect} ${isPast} ${src} ${to} ${author}`;
            const isFollowing = last?.key === key && time - last.time < TOGETHER && lines.at(-1) === last;
            since = {};
            return (last = push({ kind: "message", key, time, src, name: author, text, to, isOwn, isDirect, state, isFollowing }));
        },
        /** Sets the delivery state of one of the user's own messages, and shows it. */
        mark(line, state) {
            line.state = state;
            changed(line);
        },
        /** Shows which members have seen one of the user's own messages. */
        seen: changed,
        /** Resolves once a member's latest message has been visible on the screen; rejects if it is removed before that. */
        whenSeen: (src) => new Promise((...functions) => {
            const line = lines.findLast((each) => each.kind === "message" && each.src === src);
            if (line) {
                (line.readers ??= []).push(functions);
                changed(line);
            } else {
                functions[1](new RoomerError("gone", "there is no such message"));
            }
        }),
        /** Returns the lines of the user's own messages in this state, oldest first. */
        own: (state) => lines.filter((line) => line.isOwn && line.state === state),
        came: (id) => people().summary.came(id),
        left: (id) => people().summary.left(id),
        renamed: (id, before) => people().summary.renamed(id, before),
        /** Shows a line about the connection, or about this client's membership in the room. */
        notice(text) {
            event("notice", () => ({ kind: "notice" })).text = text;
        },
        /** Sets whether joins and leaves are hidden for now. */
        set isQuiet(value) {
            isQuiet = value;
            lines.filter(({ kind }) => kind === "people").forEach(changed);
        },
        /**
         * Called when a member has a name for the first time. The name may show that the member is a client that has reconnected.
         */
        named: () => since.people && changed(since.people),
        set isOpen(isOpen) {
            list.dataset.open = isOpen;
        },
        show() {
            if (shown) {
                shown.hidden = true;
            }
            shown = list;
            list.hidden = false;
            follow();
        },
        remove() {
            lines.forEach(forgetReaders);
            list.remove();
            shown = shown === list ? null : shown;
        }
    };
}
