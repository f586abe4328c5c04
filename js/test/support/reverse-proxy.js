/** Runs real reverse proxies, nginx and HAProxy, with configurations for the tests. */

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ownPort } from "./port.js";
import { eventually } from "./wait.js";

const isRoot = process.getuid() === 0;

/** Returns true if a program listens on a local port. */
export function listens(port) {
    return new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
        socket.on("connect", () => socket.destroy());
    });
}

/** nginx directives that forward the headers required for an upgrade: by default nginx drops them. */
export const UPGRADE = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;';

/**
 * For each proxy, its program, and a function that returns its configuration.
 *
 * @property {(where: object) => string} config takes `port` to listen on; `upstream`, the server's port; `idle`, the maximum idle
 * time of a connection in milliseconds; `strip`, true to forward upgrade requests as plain requests; `tls`, the path of a
 * certificate with its key; `location`, further lines for nginx's location; `back`, further lines for HAProxy's servers; `mode`,
 * which is "http" if HAProxy reads HTTP and "tcp" if it forwards bytes
 */
const PROGRAMS = {
    nginx: {
        args: (file, folder) => ["-c", file, "-p", folder, "-e", "stderr"],
        config: ({ port, upstream, idle, strip, tls, folder, location }) => `
            daemon off; pid ${folder}/nginx.pid; error_log stderr; worker_processes 1; ${isRoot ? "user root;" : ""}
            events { worker_connections 256; }
            http {
                access_log off;
                ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
                server {
                    listen 127.0.0.1:${port}${tls ? " ssl" : ""};
                    ${tls ? `ssl_certificate ${tls}; ssl_certificate_key ${tls};` : ""}
                    ${location ?? `location / { proxy_pass http://127.0.0.1:${upstream}; ${strip ? "" : UPGRADE} proxy_read_timeout ${idle}ms; proxy_send_timeout ${idle}ms; }`}
                }
            }`
    },
    haproxy: {
        args: (file) => ["-f", file],
        config: ({ port, upstream, idle, strip, tls, folder, mode = "http", back }) => `
global
    stats socket ${folder}/stats mode 600
defaults
    mode ${mode}
    retries 0
    timeout connect 1s
    timeout check 30s
    timeout client ${idle}ms
    timeout server ${idle}ms
    timeout tunnel ${idle}ms
frontend front
    bind 127.0.0.1:${port}${tls ? ` ssl crt ${tls}` : ""}
    ${strip ? "http-request del-header Upgrade" : ""}
    default_backend back
backend back
    ${back ?? `server only 127.0.0.1:${upstream}`}
`
    }
};

export const PROXIES = Object.keys(PROGRAMS);

/** Returns, for each of HAProxy's servers by name, its state and the result of its last check, such as "UP L7OK". */
async function readStates(folder) {
    const socket = connect(join(folder, "stats"));
    socket.end("show stat\n");
    let text = "";
    for await (const part of socket.setEncoding("utf8")) {
        text += part;
    }
    const [head, ...rows] = text.replace(/^# /, "").trim().split("\n").map((line) => line.split(","));
    const cell = (row, name) => row[head.indexOf(name)];
    const servers = rows.filter((row) => cell(row, "type") === "2");
    return Object.fromEntries(servers.map((row) => [cell(row, "svname"), `${cell(row, "status")} ${cell(row, "check_status")}`.trim()]));
}

/** Returns the reason why a proxy's tests must be skipped here, or false. In CI, a reason is an error. */
export function missing(name) {
    const found = spawnSync("sh", ["-c", `command -v ${name}`], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } }).status === 0;
    assert.ok(found || !process.env.CI, `${name} is missing: .ci/test installs it`);
    return found ? false : `${name} is missing`;
}

/** Creates a folder that is removed after the test. */
export function folderFor(t) {
    const folder = mkdtempSync(join(tmpdir(), "roomer-field-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
}

/** Creates a certificate for 127.0.0.1 with its key, in one file. */
export function makeCertificate(folder) {
    const [key, certificate] = ["key.pem", "certificate.pem"].map((name) => join(folder, name));
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], { stdio: "pipe" });
    const both = join(folder, "both.pem");
    writeFileSync(both, execFileSync("cat", [certificate, key]));
    return { certificate, both };
}

/**
 * Starts a proxy in front of a server, and stops it when the test ends.
 *
 * @param {object} t the test
 * @param {"nginx" | "haproxy"} name
 * @param {number | string} upstream the server's port
 * @param {object} [settings] the arguments of `config`, above
 */
export async function startReverseProxy(t, name, upstream, settings = {}) {
    const { args, config } = PROGRAMS[name];
    const folder = folderFor(t);
    const port = settings.port ?? await ownPort();
    const file = join(folder, `${name}.conf`);
    let child;
    let complaints = "";

    async function start(changed = {}) {
        writeFileSync(file, config({ idle: 60_000, ...settings, ...changed, port, upstream, folder }));
        child = spawn(name, args(file, folder), { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
        child.stderr.setEncoding("utf8").on("data", (text) => (complaints = (complaints + text).slice(-4096)));
        await eventually(`${name} listens`, async () => {
            assert.equal(child.exitCode, null, `${name} ended at once: ${complaints}`);
            return (await listens(port)) && (name !== "haproxy" || existsSync(join(folder, "stats")));
        });
    }

    async function stop() {
        if (child.exitCode === null && child.signalCode === null) {
            const ended = once(child, "close");
            child.kill("SIGTERM");
            await ended;
        }
    }

    await start();
    t.after(stop);
    return { port, url: `${settings.tls ? "wss" : "ws"}://127.0.0.1:${port}/ws`, start, stop, states: () => readStates(folder) };
}
