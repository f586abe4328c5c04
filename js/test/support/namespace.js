/**
 * Networks of their own: namespaces of Linux with a cable between them, which tests may pull. For root alone.
 */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";

const run = (...args) => execFileSync("ip", args, { stdio: "pipe", encoding: "utf8" });

/** Addresses for tests of networks (RFC 2544): they are nowhere else. */
const SERVER = "198.18.0.1";
const CLIENT = "198.18.0.2";

/** Why there are no namespaces here, or false. In CI there must be some. */
export function noNamespaces() {
    const name = `roomer-try-${process.pid}`;
    const { status, stderr, error } = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
    if (status === 0) {
        run("netns", "del", name);
        return false;
    }
    const reason = `no network namespaces here (they need iproute2 and root): ${error?.message ?? stderr.trim()}`;
    assert.ok(!process.env.CI, reason);
    return reason;
}

let count = 0;

/** A machine by itself, with a loopback of its own; gone with the test. Returns the command that runs a program there. */
export function isolate(t) {
    const name = `roomer-${process.pid}-${count++}`;
    t.after(() => spawnSync("ip", ["netns", "del", name]));
    run("netns", "add", name);
    run("-n", name, "link", "set", "lo", "up");
    return ["ip", "netns", "exec", name];
}

/**
 * Two machines, so to speak, and a cable between them; gone with the test.
 *
 * @returns {{server: object, client: object}} of each: `wrapper` (the command that runs a program there), `address`, and what
 *   can happen to its end of the cable
 */
export function connectMachines(t) {
    const machines = ["s", "c"].map((letter) => `roomer-${process.pid}-${count}${letter}`);
    count += 1;
    t.after(() => machines.forEach((name) => spawnSync("ip", ["netns", "del", name])));
    machines.forEach((name) => run("netns", "add", name));
    run("-n", machines[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", machines[1]);

    const [server, client] = machines.map((name, n) => {
        const address = [SERVER, CLIENT][n];
        const other = [CLIENT, SERVER][n];
        const at = (...args) => run("-n", name, ...args);
        at("addr", "add", `${address}/24`, "dev", "eth0");
        at("link", "set", "lo", "up");
        at("link", "set", "eth0", "up");
        return {
            wrapper: ["ip", "netns", "exec", name],
            address,
            unplug: () => at("link", "set", "eth0", "down"),
            plug: () => at("link", "set", "eth0", "up"),
            /** What is sent from here goes to a machine that is not there; what comes still comes. */
            mute: () => at("neigh", "replace", other, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent"),
            unmute: () => at("neigh", "del", other, "dev", "eth0"),
            /** Another address instead of the old one, as when one comes from Wi-Fi to mobile data. */
            readdress(next) {
                at("addr", "del", `${address}/24`, "dev", "eth0");
                at("addr", "add", `${next}/24`, "dev", "eth0");
            },
            /** At most so many bits a second are sent from here. */
            throttle(rate) {
                execFileSync("ip", ["netns", "exec", name, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", `${rate}bit`, "burst", "16kb", "latency", "300ms"], { stdio: "pipe" });
            }
        };
    });
    return { server, client };
}
