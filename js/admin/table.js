/** A table that shows a list and keeps its rows when the list changes.
 *
 * @module table
 */

import { isolated, number } from "./text.js";

export class Table {
    #body;
    #rows = new Map();
    #note;
    #more;

    /** @param {HTMLElement} section contains the table, a note, and possibly a button that shows more rows */
    constructor(section) {
        this.#body = section.querySelector("tbody");
        this.#note = section.querySelector(".note");
        this.#more = section.querySelector(".more");
    }

    /**
     * Shows a list. A row whose key was shown before is kept, together with the focus in it. A cell is a text; a number, or an
     * object with the text of a number, is aligned to the right.
     *
     * @param {object[]} items
     * @param {(item: object) => { key: string, label: string, act: () => void, cells: (string | number | { text: string })[], isChosen?: boolean }} describe
     */
    show(items, describe) {
        const rows = new Map();
        let before = null;
        for (const item of items) {
            const row = describe(item);
            const element = this.#rows.get(row.key) ?? this.#create(row);
            this.#fill(element, row);
            rows.set(row.key, element);
            const next = before ? before.nextSibling : this.#body.firstChild;
            // Moving a row would take the focus from it, so move only rows that are not already in their position.
            next === element || this.#body.insertBefore(element, next);
            before = element;
        }
        for (const [key, element] of this.#rows) {
            rows.has(key) || element.remove();
        }
        this.#rows = rows;
    }

    clear() {
        this.show([], () => ({}));
    }

    note(text) {
        this.#note.textContent === text || (this.#note.textContent = text);
    }

    /** Shows or hides the button that requests more rows. */
    more(hasMore) {
        this.#more.hidden = !hasMore;
    }

    #create({ label, cells }) {
        const row = document.createElement("tr");
        const button = document.createElement("button");
        button.type = "button";
        button.append(isolated(label));
        button.addEventListener("click", () => row.act());
        row.insertCell().append(button);
        for (const cell of cells) {
            row.insertCell().className = typeof cell === "string" ? "" : "number";
        }
        return row;
    }

    #fill(row, { act, cells, isChosen }) {
        row.act = act;
        if (isChosen !== undefined) {
            row.dataset.chosen = isChosen;
            row.cells[0].firstChild.ariaCurrent = isChosen;
        }
        cells.forEach((cell, at) => {
            const element = row.cells[at + 1];
            const text = typeof cell === "number" ? number(cell) : (cell.text ?? cell);
            if (element.dataset.text !== text) {
                element.dataset.text = text;
                element.replaceChildren(isolated(text));
            }
        });
    }
}
