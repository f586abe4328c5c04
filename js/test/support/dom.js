/**
 * A page in Node, for code that needs one.
 */

import { Window } from "happy-dom";

const NAMES = ["window", "document", "navigator", "Node", "Element", "HTMLElement", "HTMLIFrameElement", "SVGElement", "Event", "CustomEvent", "MutationObserver", "Text", "Comment", "DocumentFragment"];

/** Makes a page's globals this process's; timers and the like stay Node's. */
export function makePage() {
    const window = new Window({ url: "http://localhost/" });
    for (const name of NAMES) {
        Object.defineProperty(globalThis, name, { value: name === "window" ? window : window[name], configurable: true, writable: true });
    }
}
