/** Provides a DOM in Node, for code that needs a page. */

import { Window } from "happy-dom";

const NAMES = ["window", "document", "navigator", "Node", "Element", "HTMLElement", "HTMLIFrameElement", "SVGElement", "Event", "CustomEvent", "MutationObserver", "Text", "Comment", "DocumentFragment"];

/** Adds a page's globals to this process. Timers and similar functions stay Node's. */
export function makePage() {
    const window = new Window({ url: "http://localhost/" });
    for (const name of NAMES) {
        Object.defineProperty(globalThis, name, { value: name === "window" ? window : window[name], configurable: true, writable: true });
    }
}
