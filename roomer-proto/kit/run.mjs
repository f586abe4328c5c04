/**
 * Tests a client for the protocol from outside. README.md describes it.
 *
 *     node run.mjs [--only TEXT] [--jobs NUMBER] [--log] COMMAND [ARGUMENT…]
 *
 * @module run
 */

import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { runCase } from "./lib/case.mjs";
import { codecCases, runCodec } from "./lib/codec.mjs";
import { FEATURES, start } from "./lib/program.mjs";

const FOLDER = new URL("cases/", import.meta.url);

/** Returns all cases in the files, each with the steps that it begins with. */
export function readCases() {
    return readdirSync(FOLDER).sort().flatMap((file) => {
        const { section, needs = [], values, begins = {}, cases } = JSON.parse(readFileSync(new URL(file, FOLDER)));
        const stepsOf = (name) => begins[name].flatMap((step) => (step.begin ? stepsOf(step.begin) : [step]));
        return cases.map(({ begin, steps, needs: more = [], ...rest }) => ({ section, values, ...rest, needs: [...needs, ...more], steps: [...(begin ? stepsOf(begin) : []), ...steps] }));
    });
}

/** Starts the program, and returns it with what it writes when it is ready. */
async function introduce(command) {
    const program = start(command);
    let timer;
    try {
        const client = await new Promise((resolve, reject) => {
            timer = setTimeout(() => reject(new Error('the program has not written {"on":"ready"} within 15 s')), 15_000);
            program.listen({ received() {}, failed: reject });
            program.isReady.then(resolve);
        });
        return { client, program };
    } catch (error) {
        program.end();
        throw error;
    } finally {
        clearTimeout(timer);
    }
}

/**
 * Runs all cases whose name contains a text.
 *
 * @param {string[]} command the program and its arguments
 * @param {{only?: string, jobs?: number, patience?: number, report?: (result: object) => void}} [options] `patience`: the
 *   timeout, in milliseconds, for everything for which the protocol sets no time
 * @returns {Promise<{client: object, results: {name: string, failure?: Error, lacks?: string[], log?: string[]}[]}>}
 */
export async function run(command, { only = "", jobs = 8, patience, report = () => {} } = {}) {
    const { client, program: first } = await introduce(command);
    let spare = first;
    const results = [];
    const add = (result) => {
        results.push(result);
        report(result);
    };
    const nameOf = ({ section, name }) => `${section}: ${name}`;
    const isWanted = (each) => nameOf(each).includes(only);
    const lacking = ({ needs }) => needs.filter((name) => client.lacks?.includes(name));

    const codec = codecCases().filter(isWanted);
    if (client.lacks?.includes("codec")) {
        codec.forEach((each) => add({ name: nameOf(each), lacks: ["codec"] }));
    } else if (codec.length) {
        await runCodec(codec, first, (each, why) => add({ name: nameOf(each), failure: why && new Error(why) }), patience);
    }
    const rest = readCases().filter(isWanted);
    for (const each of rest.filter((each) => lacking(each).length)) {
        add({ name: nameOf(each), lacks: lacking(each) });
    }
    const queue = rest.filter((each) => !lacking(each).length);
    await Promise.all(Array.from({ length: jobs }, async () => {
        let program;
        for (let each = queue.shift(); each; each = queue.shift()) {
            program ??= spare ?? start(command);
            spare = undefined;
            const result = await runCase(each, program, patience);
            add({ name: nameOf(each), ...result });
            if (result.failure || !client.again) {
                program = program.end();
            }
        }
        program?.end();
    }));
    spare?.end();
    return { client, results };
}

async function main(args) {
    const options = { jobs: 8 };
    let isLogged = false;
    for (; args[0]?.startsWith("--"); args.shift()) {
        if (args[0] === "--log") {
            isLogged = true;
        } else if (args[0] === "--only" || args[0] === "--jobs") {
            const [name, value] = args.splice(0, 2);
            options[name.slice(2)] = name === "--jobs" ? +value : value;
            args.unshift("");
        } else {
            args = [];
        }
    }
    if (!args.length) {
        console.error("node run.mjs [--only TEXT] [--jobs NUMBER] [--log] COMMAND [ARGUMENT…]");
        return 2;
    }
    const report = ({ name, failure, lacks, log = [] }) => {
        console.log(`${lacks ? "skip" : failure ? "FAIL" : "ok  "}  ${name}${lacks ? ` (the client declares that it lacks ${lacks.join(", ")})` : ""}`);
        if (failure) {
            console.log(`      ${failure.message}${failure.step ? `\n      at the step ${JSON.stringify(failure.step)}` : ""}`);
        }
        if ((failure || isLogged) && log.length) {
            console.log((isLogged ? log : log.slice(-12)).map((line) => `        ${line}`).join("\n"));
        }
    };
    const { client, results } = await run(args, { ...options, report });
    const count = (wanted) => results.filter(wanted).length;
    const [failed, skipped] = [count(({ failure }) => failure), count(({ lacks }) => lacks)];
    const lacking = FEATURES.filter((name) => client.lacks?.includes(name)).map((name) => `${name} (${count(({ lacks }) => lacks?.includes(name))} cases)`);
    console.log(`\n${client.name ?? "the client"}: ${results.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
    lacking.length && console.log(`it lacks ${lacking.join(", ")}`);
    return failed || !results.length ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    process.exitCode = await main(process.argv.slice(2));
}
