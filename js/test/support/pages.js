/** Reads the repository's pages, and the code blocks on them. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Reads a file of the repository. */
export const read = (name) => readFileSync(ROOT + name, "utf8");

const git = (...args) => execFileSync("git", ["-C", ROOT, ...args], { encoding: "utf8" }).split("\0").filter(Boolean);

/** Returns the repository's files, including new files that are not ignored. */
export const listFiles = (...patterns) => git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ...patterns);

/**
 * Returns the code blocks of a page.
 *
 * @returns {{page: string, line: number, language: string, flags: string[], code: string, key: string}[]} an indented block has
 * the language "sh"; `key` consists of the page and the block's first line
 */
export function blocksOf(page) {
    const blocks = [];
    let fence;
    let block;
    const end = () => {
        if (block) {
            const code = block.lines.join("\n").trimEnd();
            blocks.push({ ...block, lines: undefined, code, key: `${page}: ${code.split("\n").find((line) => line.trim())}` });
        }
        block = fence = undefined;
    };
    let before = "";
    read(page).split("\n").forEach((text, n) => {
        const mark = /^\s*(```+)\s*(\S*)$/.exec(text);
        if (fence) {
            mark?.[1] === fence && !mark[2] ? end() : block.lines.push(text);
        } else if (mark) {
            end();
            const [language, ...flags] = mark[2].split(",");
            fence = mark[1];
            block = { page, line: n + 1, language, flags, lines: [] };
        } else if (/^ {4}\S/.test(text) && (block || before === "")) {
            block ??= { page, line: n + 1, language: "sh", flags: [], lines: [] };
            block.lines.push(text.slice(4));
        } else if (block && /^ {4}\s+\S/.test(text)) {
            block.lines.push(text.slice(4));
        } else {
            end();
        }
        before = text.trim();
    });
    end();
    return blocks;
}
