/** The server's counts: plots of those whose change over time matters, and numbers for the rest.
 *
 * @module figures
 */

import { Chart, binary, decimal } from "./chart.js";
import { bytes, number, rate } from "./text.js";

const sum = (counts) => Object.values(counts ?? {}).reduce((total, count) => total + count, 0);

/** The numbers below the plots, by label. A row with a third function is red while that returns true. */
const COUNTS = [
    ["Rooms", (stats) => number(stats.rooms)],
    ["Memberships", (stats) => number(stats.memberships)],
    ["Clients since the start", (stats) => number(stats.opened)],
    ["Sessions without a socket", (stats) => number(stats.sessions.detached)],
    ["Memory for clients", (stats) => bytes(stats.held_bytes)],
    ["Messages refused", (stats) => number(sum(stats.rejected_packets))],
    ["Handshakes refused", (stats) => number(sum(stats.rejected_requests))],
    ["Closed by the server", (stats) => number(sum(stats.closes))],
    ["Connections lost", (stats) => number(stats.lost)],
    ["Faults of the server", (stats) => number(stats.panics + stats.accept_errors), (stats) => stats.panics + stats.accept_errors > 0]
];

export class Figures {
    #charts;
    #values = [];
    #last;

    constructor(section) {
        const charts = section.querySelector(".charts");
        this.#charts = {
            clients: new Chart(charts, "Clients", [""], number, decimal),
            messages: new Chart(charts, "Messages a second", ["in", "out"], rate, decimal),
            bytes: new Chart(charts, "Bytes a second", ["in", "out"], bytes, binary),
            waiting: new Chart(charts, "Waiting to be read", [""], bytes, binary)
        };
        for (const [name] of COUNTS) {
            const row = document.createElement("div");
            const [term, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
            term.textContent = name;
            row.append(term, value);
            section.querySelector("#counts").append(row);
            this.#values.push(value);
        }
    }

    /** Shows the server's counts. `now` is the time in milliseconds. */
    show(stats, now) {
        const last = this.#last;
        // The counts start from zero after a restart of the server.
        const isFirst = !last || stats.opened < last.stats.opened || stats.messages_in < last.stats.messages_in;
        const seconds = isFirst ? 1 : (now - last.now) / 1000;
        const growth = (key) => (isFirst ? 0 : Math.max(0, stats[key] - last.stats[key]) / seconds);
        this.#charts.clients.add([stats.connections]);
        this.#charts.messages.add([growth("messages_in"), growth("messages_out")]);
        this.#charts.bytes.add([growth("bytes_in"), growth("bytes_out")]);
        this.#charts.waiting.add([stats.queued_bytes]);
        COUNTS.forEach(([, read, isBad], at) => {
            this.#values[at].textContent = read(stats);
            this.#values[at].parentElement.dataset.bad = isBad?.(stats) ?? false;
        });
        this.#last = { stats, now };
    }
}
