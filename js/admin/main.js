/** The page for operators: logs in with an API key, and polls the API to show the server's state.
 *
 * @module main
 */

import { Api, Refused } from "./api.js";
import { open } from "./details.js";
import { Figures } from "./figures.js";
import { Table } from "./table.js";
import { bytes, number, visible } from "./text.js";

/** The pause between two rounds of requests, in milliseconds. */
const PAUSE = 2_000;

/** The name under which the tab's session storage keeps the key. */
const STORED = "roomer-key";

/**
 * The number of rooms, and of members, that are shown at first. Each click on the button for more doubles the number and adds
 * this one.
 */
const STEP = { rooms: 100, members: 200 };
/** The maximum number of rooms or members that the API returns. */
const MOST = 10_000;

const find = (selector) => document.querySelector(selector);
const figures = new Figures(find("#figures"));
const tables = Object.fromEntries(["rooms", "members", "slow"].map((name) => [name, new Table(find(`#${name}`))]));

let api;
let chosen;
let limits = { ...STEP };
/** Ends the pause between two rounds, even while updates are paused. */
let wake = () => {};
/** The number of logins. Answers to requests of an earlier login are not shown. */
let login = 0;

function state(name, text) {
    find("#state").dataset.state = name;
    const element = find("#state-text");
    element.textContent === text || (element.textContent = text);
}

/** Shows the login form and the reason why a key is needed. */
function ask(reason) {
    login++;
    api = chosen = undefined;
    sessionStorage.removeItem(STORED);
    find("main").hidden = find(".actions").hidden = true;
    find("#details").close();
    find("#login").hidden = false;
    find("#login-problem").textContent = reason;
    find("#key").value = "";
    find("#key").focus();
    state("closed", "not logged in");
}

function start(key) {
    api = new Api(key);
    find("#login").hidden = true;
    find("main").hidden = find(".actions").hidden = false;
    state("waiting", "connecting…");
    run(++login);
}

const describe = (item, ...cells) => ({ key: item.id, label: item.id, act: () => open(api, item.id), cells: [item.user ?? "", ...cells] });

/** Requests the counts and shows them. A key that is limited to some rooms may not read them. */
async function showFigures() {
    const problem = find("#figures-problem");
    try {
        figures.show(await api.get(["stats"]), performance.now());
        const { connections } = await api.get(["slowest"]);
        tables.slow.show(connections, (conn) => describe(conn, { text: bytes(conn.waiting_bytes) }));
        tables.slow.note(connections.length ? "" : "None: all connections read what they are sent.");
        problem.hidden = true;
    } catch (error) {
        if (error.status !== 403) {
            throw error;
        }
        problem.hidden = false;
        problem.textContent = `Not shown: ${error.message}.`;
        tables.slow.note(`Not shown: ${error.message}.`);
    }
    find("#figures .charts").hidden = find("#counts").hidden = !problem.hidden;
}

async function showRooms() {
    const prefix = find("#rooms-prefix").value;
    const { rooms, more } = await api.get(["rooms"], { prefix, order: "members", limit: limits.rooms });
    tables.rooms.show(rooms, ({ room, members }) => ({
        key: room,
        label: room,
        act: () => choose(room),
        cells: [members],
        isChosen: room === chosen
    }));
    tables.rooms.note(rooms.length ? "" : prefix ? "No room begins so." : "There are no rooms.");
    tables.rooms.more(more && limits.rooms < MOST);
}

async function showMembers() {
    const room = chosen;
    if (room === undefined) {
        return;
    }
    const limit = limits.members;
    const reads = [api.get(["rooms", room]), api.get(["rooms", room, "members"], { limit })];
    const answers = await Promise.all(reads).catch((error) => {
        if (error instanceof Refused && error.status !== 401) {
            return error;
        }
        throw error;
    });
    if (room !== chosen) {
        return;
    }
    if (answers instanceof Refused) {
        tables.members.clear();
        return tables.members.note(`Not shown: ${answers.message}.`);
    }
    const [{ members: count }, { members, more }] = answers;
    find("#members-of").textContent = `of ${visible(room)}: ${number(count)}`;
    tables.members.show(members, (member) => describe(member, member.info === undefined ? "" : JSON.stringify(member.info)));
    tables.members.note(members.length ? (more ? `The first ${number(members.length)} of ${number(count)}, by id.` : "") : "The room is empty.");
    tables.members.more(more && limit < MOST);
}

function choose(room) {
    chosen = room;
    limits.members = STEP.members;
    tables.members.clear();
    tables.members.note("");
    tables.members.more(false);
    find("#members-of").textContent = `of ${visible(room)}`;
    wake();
    // In a narrow window, the members are below the rooms and may be out of view.
    find("#members").getBoundingClientRect().top > innerHeight && find("#members").scrollIntoView();
}

const isPaused = () => document.hidden || find("#pause").getAttribute("aria-pressed") === "true";

/** Polls the API and shows the answers, until another login replaces this one. */
async function run(mine) {
    while (mine === login) {
        try {
            await Promise.all([showFigures(), showRooms(), showMembers()]);
            mine === login && state("live", isPaused() ? "paused" : "live");
        } catch (error) {
            if (mine !== login) {
                return;
            }
            if (error instanceof Refused && [401, 403].includes(error.status)) {
                return ask(error.status === 401 ? "The server does not know this key." : `The server refuses: ${error.message}.`);
            }
            state("failed", "no answer from the server; trying again");
        }
        let isAsked = false;
        while (!isAsked && mine === login) {
            await new Promise((done) => {
                wake = () => done((isAsked = true));
                setTimeout(done, PAUSE);
            });
            isAsked ||= !isPaused();
        }
    }
}

find("#login").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = find("#key").value.trim();
    sessionStorage.setItem(STORED, key);
    start(key);
});
find("#leave").addEventListener("click", () => ask(""));
find("#pause").addEventListener("click", ({ target }) => {
    const isOn = target.getAttribute("aria-pressed") === "true";
    target.setAttribute("aria-pressed", !isOn);
    state("live", isOn ? "live" : "paused");
    wake();
});
find("#rooms-prefix").addEventListener("input", () => {
    limits.rooms = STEP.rooms;
    wake();
});
for (const name of ["rooms", "members"]) {
    find(`#${name} .more`).addEventListener("click", () => {
        limits[name] = Math.min(MOST, limits[name] * 2 + STEP[name]);
        wake();
    });
}
document.addEventListener("visibilitychange", () => wake());

const stored = sessionStorage.getItem(STORED);
stored ? start(stored) : ask("");
