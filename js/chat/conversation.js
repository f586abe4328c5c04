/** One room in the user interface: its entry in the room list, its log, its typing indicator, and the receiver of whispers.
 *
 * This page's messages are "chat" (text to the room), "whisper" (text to one member), "typing" (see typing.js), "nick" (this
 * client's name) and the request "seen" (see seen.js). The client also sets its name as its info. It sends "nick" because members
 * and servers with the plain protocol have no info, and because a room's history outlives its members: when it joins, when such
 * members join, and again from time to time in rooms with a history.
 *
 * @module conversation
 */

import { createLog } from "./log.js";
import { cleanName, forget, hasTold, learn, learnPast, me, nameIn, nameOf } from "./names.js";
import { createReceipts } from "./seen.js";
import { createTyping } from "./typing.js";

/** The maximum number of characters shown of a message. */
const MAX_TEXT = 4000;

/** The time for which the page collects new members before it sends them this client's name in one message, in milliseconds. */
const TELL_DELAY = 250;

/** The number of past messages that the client requests when it joins, slightly fewer than the 100 that a room keeps. */
const RECALLED = 90;

/** In a room with a history, the client sends its name again after this many messages, so that the history contains it. */
const NAME_INTERVAL = 40;

/**
 * The time to wait for a room's history, in milliseconds: its last message, which ends the wait, may have an event that this page
 * ignores.
 */
const RECALLING = 500;

/** The time for which joins and leaves stay hidden after a reconnect, in milliseconds. */
const SETTLING = 5_000;

/** The maximum number of new members to which the name is sent individually. If there are more, it is sent to the room. */
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
 * @param {() => void} page.unread called when a message has arrived that the user has not seen
 * @param {(conversation: object) => void} page.opened called when the client has entered the room
 * @param {(conversation: object, change: string, id: string) => void} page.member called with "add" or "remove"
 * @param {(id: string, before?: string) => void} page.renamed called when a room member has another name
 * @param {(id: string) => boolean} page.knows returns true if the client shares a room with a peer
 * @param {(conversation: object) => boolean} page.isWatched returns true if the conversation is on the screen and the page has
 * focus
 * @param {() => void} page.write moves the focus to the message input
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

    /** True while the connection is down. */
    let isReturning = false;
    let settling;
    let newcomers = new Set();
    let telling;
    /** The number of messages in the room since the client last sent its name there. */
    let sinceName = Infinity;
    /** True once the client has entered the room. */
    let wasOpen = false;
    /** True once the client has entered the room again in a new session. */
    let wasReopened = false;
    /** The line to show after the room's history. */
    let greeting = "";
    /** The timer that shows it if the history does not arrive completely. */
    let recalling;

    const self = {
        name,
        tab,
        log,
        room: null,
        draft: "",
        whisperTo: null,
        /** The receiver's name at the start of the whisper: names of members that leave are dropped. */
        whisperName: "",
        unread: 0,
        get isOpen() {
            return self.room?.state === "open";
        },
        get members() {
            return self.room?.memberSet ?? new Set();
        },
        typing: createTyping(page.unread),
        join,
        send,
        startWhisper,
        /** Handles changed text in the input field. */
        wrote: (text) => void (self.room && self.typing.wrote(self.room, text, self.whisperTo)),
        stopWhisper() {
            self.whisperTo = null;
            page.changed(self);
        },
        /** Called when the connection is lost. */
        suspended() {
            if (self.room && !isReturning) {
                isReturning = true;
                log.isQuiet = true;
                clearTimeout(settling);
                self.typing.clear();
                // Queue the name before any messages, since the client's next id will not have a name yet.
                self.tellName();
            }
        },
        /** Called when the session has resumed, and therefore no message was lost. */
        resumed() {
            isReturning = false;
            log.isQuiet = false;
            sentQueued();
        },
        /** Sends the name to the room if the server or a member does not support info. */
        tellName() {
            sinceName = Infinity;
            self.room && hasPlain() && sendName();
        },
        /** Shows a member's new name; `before` is undefined if it had none. */
        renamed(id, before) {
            if (self.members.has(id)) {
                before ? log.renamed(id, before) : log.named();
            }
        },
        /** Marks the line of a message that may not have arrived, or that was never sent. */
        lost({ payload, to, reason }) {
            const isUnsent = reason !== "unconfirmed";
            const states = isUnsent ? ["sent", "queued"] : ["queued", "sent"];
            // Prefer the latest line in the more likely state: a queued message's line changes to "sent" when its room opens.
            const line = states.flatMap((state) => log.own(state)).findLast((each) => each.text === payload && each.to === (to || undefined));
            // A message that some member has seen has arrived.
            line && !line.seenBy?.size && log.mark(line, isUnsent ? "unsent" : "lost");
        },
        remove() {
            const { room } = self;
            self.room = null;
            [telling, settling, recalling].forEach(clearTimeout);
            self.typing.clear();
            room?.leave();
            log.remove();
            tab.remove();
        }
    };

    const receipts = createReceipts(log.seen);
    const sentQueued = () => log.own("queued").forEach((line) => log.mark(line, "sent"));

    function sendName() {
        self.room.send("nick", me.name);
        sinceName = 0;
    }

    /** Returns true if any other member has no info: either that member or the server does not support info. */
    const hasPlain = () => self.room.members().some((id) => id !== me.id && !self.room.member(id).info);

    function join(client) {
        const room = client.join(name, { history: RECALLED });
        if (room === self.room) {
            return;
        }
        self.room = room;
        const on = (event, handler) => room.on(event, (...args) => void (self.room === room && handler(...args)));
        /**
         * Adds a message listener. Its last argument is true for messages from the history, sent before the client entered the
         * room.
         */
        const listen = (event, handler) => on(event, (text, src, isDirect, number) => {
            const newest = room.history?.number;
            handler(text, src, isDirect, number <= newest);
            number === newest && greet();
        });
        on("open", () => opened(""));
        on("reopen", reopened);
        on("close", closed);
        on("new_member", came);
        on("member_left", left);
        on("member_changed", (id, { info }) => renamed(id, nameIn(info)));
        listen("chat", (text, src, isDirect, isPast) => heard({ src, text: cut(text), isPast }));
        listen("whisper", (text, src, isDirect) => heard({ src, text: cut(text), isDirect }));
        listen("nick", (text, src) => nicked(src, cleanName(text.slice(0, MAX_TEXT))));
        listen("typing", (text, src, isDirect, isPast) => isPast || !self.members.has(src) || src === me.id || self.typing.heard(src, text !== "off"));
        room.handle("seen", async (text, from) => void (await log.whenSeen(from)));
        page.changed(self);
    }

    function reopened(previousId) {
        const { history } = self.room;
        wasReopened = true;
        me.former.add(previousId);
        receipts.clear();
        opened(history?.recovered ? " in a new session, with all messages" : " in a new session; some messages may be missing");
    }

    function opened(how) {
        const others = company(self.room.memberSet.size - 1);
        if (isReturning) {
            isReturning = false;
            settling = setTimeout(() => (log.isQuiet = false), SETTLING);
        }
        self.room.members().forEach((id) => learn(id, nameIn(self.room.member(id).info) || (hasTold(id) ? nameOf(id) : "")));
        page.opened(self);
        log.isOpen = true;
        greeting = how || wasOpen ? `You are back${how}: ${others}` : `You joined: ${others}`;
        wasOpen = true;
        if (!how && self.room.history?.number) {
            recalling = setTimeout(greet, RECALLING);
        } else {
            greet();
        }
        sentQueued();
        self.tellName();
    }

    /** Shows the greeting, which marks the end of the room's history. */
    function greet() {
        clearTimeout(recalling);
        greeting && log.notice(greeting);
        greeting = "";
    }

    function closed(error) {
        const ours = { refused: "The server has not let you into this room", removed: "The server has put you out of this room" };
        self.room = null;
        isReturning = false;
        greet();
        self.typing.clear();
        log.isQuiet = false;
        log.isOpen = false;
        log.notice(ours[error?.code] ?? "You were disconnected");
        page.changed(self);
    }

    function came(id, { info }) {
        greet();
        nameIn(info) && learn(id, nameIn(info));
        log.came(id);
        page.member(self, "add", id);
        newcomers.add(id);
        telling ??= setTimeout(tellNewcomers, TELL_DELAY);
    }

    function tellNewcomers() {
        telling = undefined;
        // Send the name only to members without info. Any info that the new members set has arrived by now.
        const told = [...newcomers].filter((id) => self.room?.member(id)?.info === null);
        newcomers = new Set();
        if (told.length > MOST_TOLD) {
            self.isOpen && self.tellName();
        } else if (self.isOpen) {
            told.forEach((id) => self.room.send("nick", me.name, id));
        }
    }

    function left(id) {
        greet();
        self.typing.stop(id);
        log.left(id);
        page.member(self, "remove", id);
        page.knows(id) || forget(id);
    }

    function nicked(id, name) {
        if (!self.members.has(id)) {
            learnPast(id, name);
        } else if (!nameIn(self.room.member(id).info)) {
            renamed(id, name);
        }
    }

    function renamed(id, name) {
        const before = nameOf(id);
        const wasKnown = hasTold(id);
        if (id !== me.id && self.members.has(id) && learn(id, name)) {
            page.renamed(id, wasKnown ? before : undefined);
        }
    }

    function heard(message) {
        const { src, text, isPast } = message;
        const isOwn = me.former.has(src);
        sinceName++;
        self.typing.stop(src);
        isPast || greet();
        // A message from the previous session that was marked as lost has arrived after all.
        const known = isOwn && log.own("lost").find((line) => line.text === text && !line.to);
        if (known) {
            log.mark(known, "sent");
        } else {
            log.message({ ...message, name: nameOf(src), isOwn });
        }
        if (!isOwn && (wasReopened || !isPast) && !page.isWatched(self)) {
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

    /** Sends a message. Returns true if the client accepted it. */
    function send(text) {
        const to = self.whisperTo ?? undefined;
        // Reject a whisper unless the receiver is certainly still a member: the message must not be lost, or become public.
        if (!self.room || self.room.state === "closed" || (to && !(self.isOpen && self.members.has(to)))) {
            return false;
        }
        greet();
        if (!to && self.room.history && sinceName >= NAME_INTERVAL) {
            sendName();
        }
        let state;
        try {
            state = to ? self.room.send("whisper", text, to) : self.room.send("chat", text);
        } catch (error) {
            if (error.code !== "argument") {
                throw error;
            }
            // The server's limit may be lower than the input's. The text stays in the input, where the user can shorten it.
            log.notice("Not sent: this message is too long for the server");
            return false;
        }
        const line = log.message({ src: me.id, name: me.name, text, to, isOwn: true, isDirect: !!to, state });
        state === "dropped" || receipts.sent(self.room, line, to);
        // Request an early confirmation: messages still unconfirmed when a session ends count as lost.
        void self.room.sent;
        self.typing.sent();
        return true;
    }

    log.isOpen = false;
    return self;
}
