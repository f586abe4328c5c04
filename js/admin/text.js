/** Formats numbers and texts for people.
 *
 * @module text
 */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1, notation: "compact" });

/** The largest number that is written in full; larger ones are abbreviated. */
const MOST_DIGITS = 99_999;

export function number(value) {
    return value <= MOST_DIGITS ? whole.format(value) : short.format(value);
}

/** Formats a rate per second, which may be below one. */
export function rate(value) {
    return value > 0 && value < 10 ? value.toFixed(1) : number(value);
}

export function bytes(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    while (value >= 1000 && at < units.length - 1) {
        value /= 1024;
        at++;
    }
    return `${at > 0 && value < 10 ? value.toFixed(1) : whole.format(value)} ${units[at]}`;
}

/** Characters that would hide others, or change the order in which texts are read. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Returns a text chosen by a client, with escapes in place of invisible characters. */
export function visible(text) {
    return text.replace(INVISIBLE, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** Returns an element with a text chosen by a client. The text's direction does not affect the page around it. */
export function isolated(text) {
    const element = document.createElement("bdi");
    element.textContent = visible(text);
    return element;
}
