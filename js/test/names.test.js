/** Tests of the names that the chat page receives from other clients. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { makePage } from "./support/dom.js";

makePage();
const { cleanName, nameIn } = await import("../chat/names.js");

test("a name of invisible characters only is rejected", () => {
    for (const char of "\u200b \u2800 \u3164 \uffa0 \u115f \u00ad \u061c \u200c \u200d \ufe0f \u2060 \ufeff \u{e0041} \u180e \u202e \u0007 \n".split(" ")) {
        assert.equal(cleanName(char.repeat(3)), "", `U+${char.codePointAt(0).toString(16)}`);
        assert.equal(nameIn({ name: ` ${char}` }), "");
    }
});

test("invisible and bidirectional characters are removed from names", () => {
    for (const char of ["\u200b", "\u061c", "\u202e", "\u2066", "\u3164", "\u00ad", "\ufeff"]) {
        assert.equal(cleanName(`${char}An${char}n${char}`), "Ann");
    }
    assert.equal(cleanName("  Ann\n\u2800\u2028 Lee "), "Ann Lee");
});

test("emoji and scripts keep their joiners", () => {
    for (const name of ["👩‍👩‍👧", "❤️", "می‌خواهم", "é", "e\u0301", "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", "\u06dd12"]) {
        assert.equal(cleanName(name), name);
    }
});
