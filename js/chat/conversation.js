/**
 * One room as the user sees it: its place in the list of rooms, its log, what is being written, and to whom.
 *
 * Messages of this page: "chat" (text to the room), "whisper" (text to one member) and "nick" (the name of this
 * client, to the room when it joins and to new members).
 *
 * @module conversation
 */

import { createLog } from "./log.js";
import { cleanName, forget, hasTold, learn, me, nameOf } from "./names.js";

/** Characters shown of one message. */
const MAX_TEXT = 4000;

/** New members within this time receive the name of this client together, in milliseconds. */
const TELL_DELAY = 250;

/** The time after a reconnect until members that are back and missing are shown, in milliseconds. */
const SETTLING = 5_000;

/** Maximum number of members that receive the name one by one; beyond it, it is sent to the room. */
const MOST_TOLD = 8;

const template = document.getElementById("room-template").content.firstElementChild;
const cut = (text) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);
const company = (others) => (others === 0 ? "nobody else is here" : others === 1 ? "one other is here" : `${others} others are here`);

/**
 * @param {string} name
 * @param {object} page
 * @param {(conversation: object) => void} page.open shows this conversation
 * @param {(conversation: object) => void} page.leave
 * @param {(conversation: object) => void} page.changed
 * @param {() => void} page.unread a message has arrived that the user does not see yet
 * @param {(conversation: object) => void} page.opened the client has entered the room
 * @param {(conversation: object, change: string, id: string) => void} page.member of "add", "remove", "renamed"
 * @param {(id: string) => boolean} page.knows returns true if the client shares a room with a peer
 * @param {(conversation: object) => boolean} page.isWatched whether the user looks at it
 * @param {() => void} page.write leads the keyboard to the message
 */
export function createConversation(name, page) {
    const log = createLog(name, { whisper: startWhisper });
    const tab = template.cloneNode(true);
    tab.dataset.room = name;
    tab.querySelector(".room-name").textContent = name;
    tab.querySelector(".room-open").addEventListener("click", () => page.open(self));
    const leaveButton = tab.querySelector(".room-leave");
    leaveButton.setAttribute("aria-label", `Leave ${name}`);
    leaveButton.addEventListener("click", () => page.leave(self));
    document.getElementById("rooms").append(tab);

    /** Whether the connection is broken. */
    let isReturning = false;
    let settling;
    let newcomers = new Set();
    let telling;

    const self = {
        name,
        tab,
        log,
        room: null,
        draft: "",
        whisperTo: null,
        /** The receiver's name when the whisper began: it is forgotten when they go. */
        whisperName: "",
        unread: 0,
        get isOpen() {
            return self.room?.state === "open";
        },
        get members() {
            return self.room?.memberSet ?? new Set();
        },
        join,
        send,
        startWhisper,
        stopWhisper() {
            self.whisperTo = null;
            page.changed(self);
        },
        /** The connection broke, and the client is on its way back. */
        suspended() {
            if (self.room && !isReturning) {
                isReturning = true;
                log.isQuiet = true;
                clearTimeout(settling);
                log.notice("The connection is lost; it comes back by itself");
                // Before the queued messages, since others do not know the name of the next id.
                self.room.send("nick", me.name);
            }
        },
        tellName: () => void (self.isOpen && self.room.send("nick", me.name)),
        /** Marks a message that may not have arrived, or that was never sent. */
        lost({ payload, to, reason }) {
            const isUnsent = reason === "unsent";
            const states = isUnsent ? ["sent", "queued"] : ["queued", "sent"];
            // The latest one in the likelier state. A queued message counts as sent once its room is open.
            const line = states.flatMap((state) => log.own(state)).findLast((each) => each.text === payload && each.to === (to || undefined));
            line && log.mark(line, isUnsent ? "unsent" : "lost");
        },
        remove() {
            const { room } = self;
            self.room = null;
            clearTimeout(telling);
            clearTimeout(settling);
            room?.leave();
            log.remove();
            tab.remove();
        }
    };

    function join(client) {
        const room = client.join(name);
        if (room === self.room) {
            return;
        }
        self.room = room;
        const on = (event, handler) => room.on(event, (...args) => void (self.room === room && handler(...args)));
        on("open", () => opened(`You joined: ${company(room.memberSet.size - 1)}`));
        on("reopen", () => opened(`You are back: ${company(room.memberSet.size - 1)}`));
        on("close", closed);
        on("new_member", came);
        on("member_left", left);
        on("chat", (text, src) => heard({ src, text: cut(text) }));
        on("whisper", (text, src, isDirect) => heard({ src, text: cut(text), isDirect }));
        on("nick", (text, src) => renamed(src, cleanName(text.slice(0, MAX_TEXT))));
        page.changed(self);
    }

    function opened(text) {
        if (isReturning) {
            isReturning = false;
            settling = setTimeout(() => (log.isQuiet = false), SETTLING);
        }
        page.opened(self);
        log.isOpen = true;
        log.notice(text);
        log.own("queued").forEach((line) => log.mark(line, "sent"));
        self.tellName();
    }

    function closed(error) {
        const ours = { refused: "The server has not let you into this room", removed: "The server has put you out of this room" };
        self.room = null;
        isReturning = false;
        log.isQuiet = false;
        log.isOpen = false;
        log.notice(ours[error?.code] ?? "You were disconnected");
        page.changed(self);
    }

    function came(id) {
        log.came(id);
        page.member(self, "add", id);
        newcomers.add(id);
        telling ??= setTimeout(tellNewcomers, TELL_DELAY);
    }

    function tellNewcomers() {
        telling = undefined;
        const told = [...newcomers].filter((id) => self.members.has(id));
        newcomers = new Set();
        if (told.length > MOST_TOLD) {
            self.tellName();
        } else if (self.isOpen) {
            told.forEach((id) => self.room.send("nick", me.name, id));
        }
    }

    function left(id) {
        log.left(id);
        page.member(self, "remove", id);
        page.knows(id) || forget(id);
    }

    function renamed(id, name) {
        const before = nameOf(id);
        const wasKnown = hasTold(id);
        if (id !== me.id && self.members.has(id) && learn(id, name)) {
            if (wasKnown) {
                log.renamed(id, before);
            } else {
                log.named();
            }
            page.member(self, "renamed", id);
        }
    }

    function heard(message) {
        log.message({ ...message, name: nameOf(message.src), isOwn: false });
        if (!page.isWatched(self)) {
            self.unread++;
            page.unread();
        }
    }

    function startWhisper(id) {
        if (id !== me.id) {
            self.whisperTo = id;
            self.whisperName = nameOf(id);
            page.changed(self);
            page.write();
        }
    }

    /** Sends a message; returns true if it was accepted. */
    function send(text) {
        const to = self.whisperTo ?? undefined;
        // A whisper to a member that has left, or may have left, is not sent: it must not vanish or become public.
        if (!self.room || self.room.state === "closed" || (to && !(self.isOpen && self.members.has(to)))) {
            return false;
        }
        const state = to ? self.room.send("whisper", text, to) : self.room.send("chat", text);
        log.message({ src: me.id, name: me.name, text, to, isOwn: true, isDirect: !!to, state });
        return true;
    }

    log.isOpen = false;
    return self;
}
