/** The chat page: its layout, and the user's actions.
 *
 * @module main
 */

import { createConnection } from "./connection.js";
import { createConversation } from "./conversation.js";
import { closeDrawer } from "./drawers.js";
import { paint, paintNews } from "./frame.js";
import { createMembers } from "./members.js";
import { chooseName, me, nameElement, nameOf, recallName, showFace } from "./names.js";
import { showTyping } from "./typing.js";

/** The time for which a lost connection is not shown, in milliseconds. Within this time the session usually resumes. */
const BLINK = 2_500;

/**
 * After the server has rejected a name because of its rate limit, the delay before the client sends the name again, in
 * milliseconds.
 */
const NAME_DELAY = 2_000;

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

/** Conversations by room name, in the order in which they were joined. */
const conversations = new Map();
/** The conversation on screen. */
let active = null;
let state = "connecting";
let problem = "";
let wasOpen = false;
/** The timer that shows a lost connection; true once it has fired. */
let blinking;
let isLong = false;

const connection = createConnection({
    started(client) {
        client.on("lost", (message) => {
            if (message.event === "chat" || message.event === "whisper") {
                conversations.get(message.room)?.lost(message);
            }
        });
        client.on("resumed", () => conversations.forEach((each) => each.resumed()));
        client.on("error", ({ code, kind, event }) => {
            if (code === "rejected" && kind === "busy" && event === "roomer:info") {
                setTimeout(tellName, NAME_DELAY);
            }
        });
        client.setInfo({ name: me.name });
        client.root.on("new_member", refreshNews);
        client.root.on("member_left", refreshNews);
        conversations.forEach((each) => each.join(client));
    },
    changed(next, why) {
        state = next;
        problem = why;
        wasOpen ||= state === "open";
        if (state === "suspended") {
            conversations.forEach((each) => each.suspended());
            blinking ??= setTimeout(() => {
                isLong = true;
                refresh();
            }, BLINK);
        } else if (state !== "connecting") {
            clearTimeout(blinking);
            blinking = undefined;
            isLong = false;
        }
        refresh();
    }
});

const members = createMembers({
    whisper(id) {
        active?.startWhisper(id);
    },
    receiver: () => active?.whisperTo ?? null
});

const page = {
    open: (conversation) => activate(conversation, true),
    leave(conversation) {
        conversations.delete(conversation.name);
        conversation.remove();
        if (active === conversation) {
            active = null;
            activate([...conversations.values()].at(-1) ?? null, true);
        }
    },
    opened(conversation) {
        me.id = conversation.room.id;
        updateYou();
        if (conversation === active) {
            members.reset(active.members);
        }
        refresh();
    },
    changed: refresh,
    unread: refreshNews,
    member(conversation, change, id) {
        if (conversation === active) {
            members[change](id);
        }
        refreshNews();
    },
    renamed(id, before) {
        conversations.forEach((each) => each.renamed(id, before));
        members.renamed(id);
        refreshNews();
    },
    knows: (id) => [...conversations.values()].some((each) => each.members.has(id)),
    isWatched: (conversation) => conversation === active && !document.hidden,
    write() {
        closeDrawer();
        $("message").focus();
    }
};

/** Joins the named room, or shows it if it is already joined. Returns an error text if the name is invalid. */
function enter(name) {
    if (name === "root") {
        return "Everybody is in root already; please pick another name.";
    }
    if (!conversations.has(name)) {
        conversations.set(name, createConversation(name, page));
    }
    if (state !== "closed") {
        conversations.get(name).join(connection.client);
    }
    activate(conversations.get(name), true);
    return "";
}

function activate(conversation, focus = false) {
    if (active) {
        active.draft = $("message").value;
    }
    active = conversation;
    closeDrawer();
    $("welcome").hidden = !!active;
    $("log").hidden = !active;
    $("composer").hidden = !active;
    const params = new URLSearchParams(query);
    params.delete("room");
    if (active) {
        params.append("room", active.name);
        active.log.show();
        active.unread = 0;
        $("message").value = active.draft;
        growMessage();
    }
    members.reset(active?.members ?? []);
    history.replaceState(null, "", params.size ? `?${params}` : location.pathname);
    refresh();
    // On a touch screen, focusing the input would open the keyboard.
    if (focus && active && matchMedia("(hover: hover)").matches) {
        $("message").focus();
    }
}

/* The screen's contents */

function refresh() {
    paint(update);
}

function refreshNews() {
    paintNews(update);
}

/** Sets an element's text if it differs. */
function say(id, text) {
    if ($(id).textContent !== text) {
        $(id).textContent = text;
    }
}

/** Updates the whole page except the log and the member list. */
function update() {
    const connecting = wasOpen ? "reconnecting…" : "connecting…";
    const online = connection.client.root.memberSet.size;
    const unread = [...conversations.values()].reduce((sum, each) => sum + each.unread, 0);
    document.body.dataset.state = $("connection").dataset.state = state;
    say("connection-text", { connecting, suspended: connecting, open: "connected", closed: "disconnected" }[state]);
    say("online", online && state === "open" ? `· ${online} online` : "");
    document.title = `${unread ? `(${unread}) ` : ""}${active ? `#${active.name} · ` : ""}roomer`;
    $("unread-dot").hidden = unread === 0;
    conversations.forEach(updateTab);
    updateYou();
    updateBanner();
    updateHead(active?.members.size ?? 0);
    members.refresh();
    showTyping(active?.typing.ids() ?? []);
    if (active) {
        updateComposer();
    }
}

function updateTab(conversation) {
    const { tab, unread } = conversation;
    tab.dataset.active = conversation === active;
    tab.dataset.unread = unread > 0;
    tab.querySelector(".badge").hidden = unread === 0;
    tab.querySelector(".badge").textContent = unread > 99 ? "99+" : unread;
    if (conversation === active) {
        tab.querySelector(".room-open").setAttribute("aria-current", "true");
    } else {
        tab.querySelector(".room-open").removeAttribute("aria-current");
    }
}

function updateYou() {
    showFace($("you-face"), me.id);
    if (document.activeElement !== $("nick")) {
        $("nick").value = me.name;
    }
    say("you-hint", me.isChosen ? "you" : "you · click to choose a name");
}

function updateBanner() {
    const isOutside = active && !active.room && state !== "closed";
    const isBack = state === "open" || (wasOpen ? state !== "closed" && !isLong : state === "connecting");
    $("banner").hidden = isBack && !isOutside;
    $("banner").dataset.kind = state === "closed" ? "closed" : isOutside ? "outside" : "waiting";
    $("again").hidden = state !== "closed" && !isOutside;
    say("again", state === "closed" ? "Connect again" : "Join again");
    say("banner-text", state === "closed" ? `The connection has ended${problem ? `: ${problem}` : "."}`
        : isOutside ? "You are not in this room any more."
        : wasOpen ? "The connection is lost. What you write waits and goes out when it is back."
        : "The server does not answer yet; trying again.");
}

function updateHead(count) {
    $("room-head").dataset.inRoom = !!active;
    say("room-title", active?.name ?? "Welcome");
    say("room-info", !active ? "not in a room yet"
        : active.isOpen ? `${count} here`
        : state === "closed" ? "not connected"
        : !active.room ? "not in this room"
        : wasOpen && state !== "open" ? "reconnecting…" : "joining…");
    say("member-count", count ? `· ${count}` : "");
    say("people-hint", count > 1 ? "Pick a member to whisper."
        : count === 1 ? "Only you are here. Invite a friend, or open this page in a second window."
        : active ? "" : "Join a room to see who is there.");
}

function updateComposer() {
    const { whisperTo: to, members: here, room } = active;
    const isGone = to !== null && !here.has(to);
    $("composer").dataset.mode = to ? "whisper" : "chat";
    $("whisper").hidden = !to;
    // Update the text only if it changes, since screen readers announce it.
    const key = `${to} ${isGone}`;
    if (to && $("whisper-text").dataset.key !== key) {
        $("whisper-text").replaceChildren(...(isGone ? [nameElement(to, active.whisperName), " is not here any more"] : ["Only ", nameElement(to), " will see this"]));
    }
    $("whisper-text").dataset.key = key;
    $("message").placeholder = !room ? "Not in the room" : to ? `Whisper to ${nameOf(to)}` : `Message #${active.name}`;
    $("send").disabled = !room || (to !== null && (isGone || !active.isOpen));
}

/** Sends the user's name to the server as info, and as a message to members and servers that do not support info. */
function tellName() {
    connection.client.setInfo({ name: me.name });
    conversations.forEach((each) => each.tellName());
}

function growMessage() {
    const box = $("message");
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight}px`;
}

/* The user's actions */

for (const [form, input] of [["join-form", "room-input"], ["welcome-form", "welcome-input"]]) {
    $(input).addEventListener("input", () => $(input).setCustomValidity(""));
    $(form).addEventListener("submit", (event) => {
        event.preventDefault();
        const name = $(input).value.trim().replace(/^#\s*/u, "");
        const wrong = name ? enter(name) : "Please type a name.";
        $(input).setCustomValidity(wrong);
        if (wrong) {
            $(input).reportValidity();
        } else {
            $(input).value = "";
        }
    });
}
for (const chip of document.querySelectorAll("[data-join]")) {
    chip.addEventListener("click", () => enter(chip.dataset.join));
}

$("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("message").value.trim();
    if (text && active.send(text)) {
        $("message").value = "";
        growMessage();
    }
    $("message").focus();
});
$("message").addEventListener("input", () => {
    growMessage();
    active.wrote($("message").value);
});
$("message").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        $("composer").requestSubmit();
    }
});
$("whisper-cancel").addEventListener("click", () => {
    active.stopWhisper();
    $("message").focus();
});
document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !closeDrawer() && active?.whisperTo) {
        active.stopWhisper();
        $("message").focus();
    }
});

$("nick-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("nick").blur();
});
$("nick").addEventListener("change", () => {
    chooseName($("nick").value);
    $("nick").value = me.name;
    members.renamed(me.id);
    tellName();
    refresh();
});

$("again").addEventListener("click", () => {
    if (state === "closed") {
        connection.start();
    } else {
        active.join(connection.client);
    }
});
document.addEventListener("visibilitychange", () => {
    if (!document.hidden && active) {
        active.unread = 0;
        refresh();
    }
});

recallName();
connection.start();
for (const name of query.getAll("room")) {
    if (name && name !== "root") {
        enter(name);
    }
}
refresh();
