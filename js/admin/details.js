/** The dialog with the details of a connection.
 *
 * @module details
 */

import { isolated } from "./text.js";

/** The time for which a second click on the button confirms the first, in milliseconds. */
const CONFIRMATION = 5_000;

const dialog = document.querySelector("#details");
const list = dialog.querySelector("dl");
const problem = dialog.querySelector(".problem");
const disconnect = dialog.querySelector("#disconnect");

let shown;
let timer;

function calm() {
    clearTimeout(timer);
    disconnect.textContent = "Disconnect";
    delete disconnect.dataset.asked;
}

function show(rows) {
    list.replaceChildren();
    for (const [name, ...texts] of rows) {
        const [term, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
        term.textContent = name;
        // Each text starts a new line.
        value.append(...texts.flatMap((text, at) => (at ? [document.createElement("br"), isolated(text)] : [isolated(text)])));
        list.append(term, value);
    }
}

/** Opens the dialog and loads the connection's details. */
export async function open(api, id) {
    shown = { api, id };
    const mine = shown;
    calm();
    problem.textContent = "";
    disconnect.disabled = false;
    show([["Id", id]]);
    dialog.showModal();
    try {
        const conn = await api.get(["connections", id]);
        if (mine === shown) {
            show([
                ["Id", id],
                ["User", conn.user ?? "none"],
                ["Info", conn.info === undefined ? "none" : JSON.stringify(conn.info)],
                ["Address", conn.address ?? "unknown"],
                [`Rooms (${conn.rooms.length})`, ...(conn.rooms.length ? conn.rooms : ["none"])]
            ]);
        }
    } catch (error) {
        mine === shown && (problem.textContent = error.message);
    }
}

dialog.querySelector("#details-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
    shown = undefined;
    calm();
});
disconnect.addEventListener("click", async () => {
    if (!disconnect.dataset.asked) {
        disconnect.dataset.asked = true;
        disconnect.textContent = "Really disconnect?";
        timer = setTimeout(calm, CONFIRMATION);
        return;
    }
    calm();
    const { api, id } = shown;
    disconnect.disabled = true;
    try {
        await api.remove(["connections", id]);
        shown?.id === id && dialog.close();
    } catch (error) {
        if (shown?.id === id) {
            problem.textContent = error.message;
            disconnect.disabled = false;
        }
    }
});
