/** Checks the contrast of all text on a page, as defined by WCAG 2. */

/** Runs in the page. Returns the texts whose contrast with their background is below `least`, with their contrast ratios. */
function findFaint(least) {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const known = new Map();

    /** Returns the red, green, blue and opacity values of a color in any notation. */
    function parse(colour) {
        if (!known.has(colour)) {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
            known.set(colour, [r, g, b, a / 255]);
        }
        return known.get(colour);
    }
    const over = ([r, g, b, a], below) => [r, g, b].map((value, n) => value * a + below[n] * (1 - a));
    const luminance = (rgb) => rgb.map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);

    function behind(element) {
        const layers = [];
        for (let each = element; each; each = each.parentElement) {
            layers.push(parse(getComputedStyle(each).backgroundColor));
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), parse(getComputedStyle(document.body).backgroundColor));
    }

    function opacity(element) {
        let product = 1;
        for (let each = element; each; each = each.parentElement) {
            product *= Number(getComputedStyle(each).opacity);
        }
        return product;
    }

    const faint = [];
    function judge(element, style, text) {
        const back = behind(element);
        const [r, g, b, a] = parse(style.color);
        const front = over([r, g, b, a * opacity(element)], back);
        const [dark, light] = [luminance(front), luminance(back)].sort((x, y) => x - y);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < least) {
            faint.push(`${ratio.toFixed(2)}: "${text.trim().slice(0, 40)}" in ${element.tagName.toLowerCase()}.${element.className} (${style.color})`);
        }
    }

    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        // WCAG exempts disabled controls.
        if (node.data.trim() && element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.closest(":disabled")) {
            seen++;
            judge(element, getComputedStyle(element), node.data);
        }
    }
    for (const field of document.querySelectorAll("input, textarea")) {
        if (field.checkVisibility()) {
            seen++;
            judge(field, field.value ? getComputedStyle(field) : getComputedStyle(field, "::placeholder"), field.value || field.placeholder);
        }
    }
    return { seen, faint };
}

/** Returns the texts on the page whose contrast is too low, and the number of texts checked. */
export const faintTexts = (page, least = 4.5) => page.evaluate(findFaint, least);
