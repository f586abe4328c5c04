/** A line chart of the last five minutes, with one or two lines.
 *
 * @module chart
 */

/** The number of points in a line: five minutes, with a point every two seconds. */
const POINTS = 150;
const WIDTH = 300;
const HEIGHT = 80;

/** Returns the value at the top of a plot: the smallest of 1, 2, 5, 10, 20, … that is not below the given value. */
export function decimal(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

/** Like decimal(), but for bytes: returns a power of two, at least 1 KiB. */
export const binary = (value) => 2 ** Math.ceil(Math.log2(Math.max(value, 1024)));

export class Chart {
    #names;
    #format;
    #above;
    #lines;
    #values;
    #paths;
    #top;
    #summary;

    /**
     * @param {HTMLElement} parent
     * @param {string} title
     * @param {string[]} names the names of the lines; the name of a plot's only line is empty
     * @param {(value: number) => string} format
     * @param {(value: number) => number} above returns the value at the top of the plot for the largest value in it
     */
    constructor(parent, title, names, format, above) {
        const figure = document.querySelector("#chart-template").content.cloneNode(true).firstElementChild;
        figure.querySelector("h3").textContent = title;
        this.#names = names;
        this.#format = format;
        this.#above = above;
        this.#lines = names.map(() => []);
        this.#values = names.map((name) => {
            const item = document.createElement("li");
            const value = document.createElement("strong");
            item.append(value, name ? ` ${name}` : "");
            figure.querySelector("ul").append(item);
            return value;
        });
        this.#paths = names.map((_, at) => {
            const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
            path.classList.toggle("second", at > 0);
            figure.querySelector("svg").append(path);
            return path;
        });
        this.#top = figure.querySelector(".top");
        this.#summary = figure.querySelector(".sr");
        parent.append(figure);
    }

    /** Adds a point to each line. */
    add(values) {
        this.#lines.forEach((line, at) => {
            line.push(values[at]);
            line.length > POINTS && line.shift();
            this.#values[at].textContent = this.#format(values[at]);
        });
        this.#draw();
    }

    #draw() {
        const top = this.#above(Math.max(...this.#lines.flat()));
        this.#top.textContent = this.#format(top);
        this.#lines.forEach((line, at) => {
            const x = (index) => ((POINTS - line.length + index) * WIDTH) / (POINTS - 1);
            const y = (value) => HEIGHT - (value / top) * (HEIGHT - 1) - 0.5;
            const points = line.map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
            this.#paths[at].setAttribute("d", `M${points.join("L")}`);
        });
        // Describe the lines in text for screen readers.
        const range = (line) => `${this.#format(Math.min(...line))} to ${this.#format(Math.max(...line))}`;
        this.#summary.textContent = this.#lines.map((line, at) => `${this.#names[at]} ${range(line)} in the last minutes`).join(", ");
    }
}
