/** Separate networks: Linux namespaces with a virtual cable between them, which tests can unplug. Requires root. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";

const run = (...args) => execFileSync("ip", args, { stdio: "pipe", encoding: "utf8" });

/** Addresses reserved for network benchmarks (RFC 2544), which are therefore not in use elsewhere. */
const SERVER = "198.18.0.1";
const CLIENT = "198.18.0.2";

/** Returns the reason why namespaces are unavailable here, or false if they are available. In CI, a reason is an error. */
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

/**
 * Creates an isolated machine with its own loopback interface, until the test ends. Returns the command that runs a program on
 * it.
 */
export function isolate(t) {
    const name = `roomer-${process.pid}-${count++}`;
    t.after(() => spawnSync("ip", ["netns", "del", name]));
    run("netns", "add", name);
    run("-n", name, "link", "set", "lo", "up");
    return ["ip", "netns", "exec", name];
}

/**
 * Creates two isolated machines connected by a cable, until the test ends.
 *
 * @returns {{server: object, client: object}} for each machine: `wrapper` (the command that runs a program on it), `address`, and
 * functions that cause faults at its end of the cable
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
            /** Redirects outgoing packets to a machine that does not exist. Incoming packets still arrive. */
            mute: () => at("neigh", "replace", other, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent"),
            unmute: () => at("neigh", "del", other, "dev", "eth0"),
            /** Replaces the machine's address, as after a change from Wi-Fi to mobile data. */
            readdress(next) {
                at("addr", "del", `${address}/24`, "dev", "eth0");
                at("addr", "add", `${next}/24`, "dev", "eth0");
            },
            /** Limits the bandwidth of outgoing data, in bits per second. */
            throttle(rate) {
                execFileSync("ip", ["netns", "exec", name, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", `${rate}bit`, "burst", "16kb", "latency", "300ms"], { stdio: "pipe" });
            }
        };
    });
    return { server, client };
}
