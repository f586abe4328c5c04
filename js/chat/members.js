/** The member list.
 *
 * For the keyboard, it is a single Tab stop, with arrow keys, letters and Enter inside. Only rows in view have elements, and
 * only differences are applied, so two thousand members cost about as little as twenty.
 *
 * @module members
 */

import { paint, paintNews, scroll } from "./frame.js";
import { me, nameOf, showFace, showName } from "./names.js";

/** A row's height in pixels, as in the style sheet. */
const ROW = 44;

/** The number of rows rendered beyond each edge of the visible part. */
const MARGIN = 6;

/** Letters typed within this time of each other form one prefix, in milliseconds. */
const TYPING = 700;

const collator = new Intl.Collator();
const list = document.getElementById("members");
const template = document.getElementById("member-template").content.firstElementChild;

/** Compares entries: the user comes first, the others follow by name. Equal names are ordered by id, so the order is total. */
function compare(a, b) {
    return (b.id === me.id) - (a.id === me.id) || collator.compare(a.name, b.name) || (a.id < b.id ? -1 : 1);
}

/**
 * @param {object} actions
 * @param {(id: string) => void} actions.whisper
 * @param {() => string | null} actions.receiver returns the id of the member that the user whispers to
 */
export function createMembers({ whisper, receiver }) {
    /** All members as { id, name }, in the order in which they are displayed. */
    let entries = [];
    /** The ids of the members in `entries`. */
    let known = new Set();
    /** The receiver of whispers that the rows currently show as chosen. */
    let shownReceiver = null;
    /** Members that were added, removed or renamed since the last frame. */
    const fresh = new Set();
    const gone = new Set();
    /** Row elements, by id. */
    const rows = new Map();
    /** The id of the row that Tab focuses. */
    let current = "";
    let top = 0;
    let height = 0;
    let typed = "";
    let typedAt = -TYPING;

    const indexOf = (id) => entries.findIndex((entry) => entry.id === id);

    function sort() {
        if (gone.size || fresh.size) {
            entries = entries.filter(({ id }) => !gone.has(id) && !fresh.has(id));
            for (const id of fresh) {
                entries.push({ id, name: nameOf(id) });
            }
            // The list is already nearly sorted, so sorting is cheap.
            entries.sort(compare);
            known = new Set(entries.map(({ id }) => id));
            gone.clear();
            fresh.clear();
        }
    }

    function makeRow(id) {
        const row = template.cloneNode(true);
        row.dataset.id = id;
        row.title = id;
        row.id = `member-${id}`;
        showFace(row.querySelector(".face"), id);
        showName(row.querySelector(".name"), id);
        row.querySelector(".tag").textContent = id === me.id ? "you" : id.slice(0, 4);
        row.setAttribute("aria-disabled", id === me.id);
        rows.set(id, row);
        return row;
    }

    function update() {
        const hadFocus = list.contains(document.activeElement);
        const before = indexOf(current);
        sort();
        if (indexOf(current) < 0) {
            // If the focused member has left, focus the member that is now in its position.
            current = entries[Math.max(0, Math.min(before, entries.length - 1))]?.id ?? "";
        }
        list.firstElementChild.style.height = `${entries.length * ROW}px`;
        const first = Math.max(0, Math.floor(top / ROW) - MARGIN);
        const end = Math.min(entries.length, Math.ceil((top + height) / ROW) + MARGIN);
        const wanted = new Map(entries.slice(first, end).map(({ id }, n) => [id, first + n]));
        if (current && !wanted.has(current)) {
            wanted.set(current, indexOf(current));
        }
        for (const [id, row] of rows) {
            if (!wanted.has(id)) {
                row.remove();
                rows.delete(id);
            }
        }
        const to = shownReceiver = receiver();
        let next = list.firstElementChild.firstElementChild;
        for (const [id, index] of [...wanted].sort(([, a], [, b]) => a - b)) {
            const row = rows.get(id) ?? makeRow(id);
            // Keep the elements in the visible order, since screen readers follow the order of elements.
            if (row === next) {
                next = next.nextElementSibling;
            } else {
                list.firstElementChild.insertBefore(row, next);
            }
            row.style.setProperty("--row", index);
            set(row, "aria-posinset", index + 1);
            set(row, "aria-setsize", entries.length);
            set(row, "aria-selected", id === to);
            set(row, "tabindex", id === current ? 0 : -1);
        }
        if (hadFocus && !list.contains(document.activeElement)) {
            rows.get(current)?.focus({ preventScroll: true });
        }
    }

    /** Sets an attribute only if its value differs. */
    function set(row, name, value) {
        if (row.getAttribute(name) !== String(value)) {
            row.setAttribute(name, value);
        }
    }

    const refresh = () => paint(update);

    /** Moves the focus to another row and scrolls it into view. */
    function go(index) {
        const entry = entries[Math.max(0, Math.min(index, entries.length - 1))];
        if (entry) {
            current = entry.id;
            update();
            const row = rows.get(current);
            row.focus({ preventScroll: true });
            scroll(() => row.scrollIntoView({ block: "nearest" }));
        }
    }

    /** Moves the focus to the next name that begins with the typed prefix. */
    function find(letter, now) {
        typed = now - typedAt < TYPING ? typed + letter : letter;
        typedAt = now;
        const from = indexOf(current) + (typed.length === 1 ? 1 : 0);
        const wanted = typed.toLocaleLowerCase();
        const found = entries.findIndex(({ name }, n) => n >= from && name.toLocaleLowerCase().startsWith(wanted));
        const again = found < 0 ? entries.findIndex(({ name }) => name.toLocaleLowerCase().startsWith(wanted)) : found;
        again >= 0 && go(again);
    }

    list.addEventListener("keydown", (event) => {
        const page = Math.max(1, Math.floor(height / ROW) - 1);
        const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
        if (event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        if (event.key in steps) {
            go(indexOf(current) + steps[event.key]);
        } else if (event.key === "Enter" || (event.key === " " && event.timeStamp - typedAt >= TYPING)) {
            whisper(current);
        } else if ([...event.key].length === 1) {
            find(event.key, event.timeStamp);
        } else {
            return;
        }
        event.preventDefault();
    });
    list.addEventListener("click", ({ target }) => {
        const id = target.closest("[data-id]")?.dataset.id;
        if (id) {
            current = id;
            whisper(id);
        }
    });
    list.addEventListener("focusin", ({ target }) => {
        current = target.closest("[data-id]")?.dataset.id ?? current;
        refresh();
    });
    list.addEventListener("scroll", () => {
        top = list.scrollTop;
        refresh();
    });
    new ResizeObserver(([{ contentRect }]) => {
        height = contentRect.height;
        refresh();
    }).observe(list);

    return {
        /** Replaces all shown members. */
        reset(ids) {
            entries = [];
            known.clear();
            gone.clear();
            fresh.clear();
            for (const id of ids) {
                fresh.add(id);
            }
            refresh();
        },
        add(id) {
            gone.delete(id);
            fresh.add(id);
            paintNews(update);
        },
        remove(id) {
            fresh.delete(id);
            gone.add(id);
            paintNews(update);
        },
        /** Moves a member to the position that belongs to its new name. */
        renamed(id) {
            if (known.has(id)) {
                fresh.add(id);
                paintNews(update);
            }
        },
        /** Updates the rows if the receiver of whispers has changed. */
        refresh: () => receiver() === shownReceiver || refresh()
    };
}
