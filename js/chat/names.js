/** Client names.
 *
 * On a server with sessions, a name is part of a member's info; with the plain protocol, peers send their names as messages. A
 * peer without a name is shown with a name derived from its id. Info and messages come from other clients, so their values can
 * have any type.
 *
 * @module names
 */

import { paintNews } from "./frame.js";

const MAX_NAME = 24;
const KEY = "roomer name";

const ADJECTIVES = "amber brave calm clever cosy daring eager fuzzy gentle happy jolly keen lucky merry mighty nimble olive plucky quiet rapid rosy silver snowy sunny swift teal tidy vivid warm witty young zesty".split(" ");
const ANIMALS = "badger beaver bison crane dingo dolphin falcon ferret finch fox gecko goose hare heron ibis jackal koala lemur lynx magpie marten moose newt ocelot otter owl panda puffin raven robin seal sparrow stoat swan tapir toad turtle walrus wombat wren".split(" ");

/** The maximum number of names kept for authors that have left. The oldest are dropped first. */
const MOST_PAST = 500;

/** This client: its id in the current session, its earlier ids, and its name, which is kept across reconnects and reloads. */
export const me = { id: "", former: new Set(), name: "", isChosen: false };

/** Peers' names, by id. */
const told = new Map();

/** Names of authors that have left, by id. A room's history still contains their messages. */
const past = new Map();

/** The ids whose names on the page are outdated. */
const stale = new Set();

function hash(text) {
    let value = 0x811c9dc5;
    for (const char of text) {
        value = Math.imul(value ^ char.codePointAt(0), 0x01000193) >>> 0;
    }
    return value;
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

function inventName(seed) {
    const value = hash(seed);
    const animal = ANIMALS[Math.floor(value / ADJECTIVES.length) % ANIMALS.length];
    return `${capital(ADJECTIVES[value % ADJECTIVES.length])} ${capital(animal)}`;
}

export function nameOf(id) {
    return (id === me.id || me.former.has(id) ? me.name : told.get(id) ?? past.get(id)) || inventName(id);
}

/** Returns the name in a member's info, or "" if it has none. */
export function nameIn(info) {
    const name = typeof info === "object" ? info?.name : undefined;
    return typeof name === "string" ? cleanName(name.slice(0, 10 * MAX_NAME)) : "";
}

/** Returns true if a peer has a name. */
export const hasTold = (id) => told.has(id);

/** Stores a peer's name. Returns true if it differs from the previous one. */
export function learn(id, name) {
    const before = nameOf(id);
    if (name) {
        told.set(id, name);
    } else {
        told.delete(id);
    }
    const isNew = nameOf(id) !== before;
    if (isNew) {
        renew(id);
    }
    return isNew;
}

/** Stores the name of an author that has left. */
export function learnPast(id, name) {
    if (name) {
        const before = nameOf(id);
        past.delete(id);
        past.set(id, name);
        past.size > MOST_PAST && past.delete(past.keys().next().value);
        nameOf(id) === before || renew(id);
    }
}

/** Removes a peer that has left. */
export function forget(id) {
    learnPast(id, told.get(id));
    told.delete(id);
}

/**
 * Invisible characters. The first group matches a flag of a region, whose invisible characters are kept. Some format characters
 * (Cf) of Arabic, Syriac and Kaithi are visible and therefore excluded.
 */
const INVISIBLE = /(\u{1f3f4}[\u{e0020}-\u{e007e}]+\u{e007f})|(?![\u200c\u200d\ufe0e\ufe0f\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}])[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Removes control characters, marks that change the text direction around them, and invisible characters. Joiners and variation
 * selectors are kept, since emoji and some scripts need them; but a name that consists only of them becomes empty.
 */
export function cleanName(text) {
    const visible = text.replace(INVISIBLE, "$1");
    const plain = visible.replace(/[\s\p{Cc}\u2800]+/gu, " ").trim();
    const name = [...plain].slice(0, MAX_NAME).join("").trim();
    return /[^\s\p{Default_Ignorable_Code_Point}]/u.test(name) ? name : "";
}

/* This user's name. A chosen name is stored for all windows of the browser, a generated one only for its own window, so two
   windows have different names until a name is chosen. */

/** Reads or, with a value, writes the browser's storage; access to it may be denied. */
function kept(storage, value) {
    try {
        return value === undefined ? window[storage].getItem(KEY) : window[storage].setItem(KEY, value);
    } catch {
        return null;
    }
}

/** Restores the name from the last visit, or generates one. */
export function recallName() {
    const chosen = cleanName(kept("localStorage") ?? "");
    const ofWindow = cleanName(kept("sessionStorage") ?? "");
    me.name = ofWindow || chosen || inventName(String(Math.random()));
    me.isChosen = chosen !== "" && me.name === chosen;
    kept("sessionStorage", me.name);
}

/** Sets the name that the user has typed. If it is empty, a name is generated. */
export function chooseName(text) {
    const name = cleanName(text);
    me.isChosen = name !== "";
    me.name = name || inventName(String(Math.random()));
    kept("sessionStorage", me.name);
    kept("localStorage", name);
    renew(me.id);
}

/* Names and faces on the page */

function initials(name) {
    return name.split(" ").slice(0, 2).map((word) => [...word][0]).join("").toUpperCase();
}

function fill(element, name) {
    // Hash the name, not the id, so that a client's color stays the same after a reconnect.
    element.style.setProperty("--hue", hash(`hue ${name}`) % 360);
    element.textContent = element.dataset.faceOf === undefined ? name : initials(name);
    return element;
}

/** Shows a peer's name in an element. renewAll() updates the element when the name changes. */
export function showName(element, id, name = nameOf(id)) {
    element.dataset.nameOf = id;
    return fill(element, name);
}

/** Shows a peer's initials in an element. renewAll() updates the element when the name changes. */
export function showFace(element, id) {
    element.dataset.faceOf = id;
    return fill(element, nameOf(id));
}

/** Creates an element with a peer's name. */
export function nameElement(id, name) {
    const span = document.createElement("span");
    span.className = "name";
    return showName(span, id, name);
}

function renew(id) {
    stale.add(id);
    paintNews(renewAll);
}

/** Updates all outdated names in one pass over the page. */
function renewAll() {
    for (const element of document.querySelectorAll("[data-name-of], [data-face-of]")) {
        const id = element.dataset.nameOf ?? element.dataset.faceOf;
        if (stale.has(id)) {
            fill(element, nameOf(id));
        }
    }
    stale.clear();
}
