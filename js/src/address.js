/** Computes the address for a connection attempt.
 *
 * Uses text operations where possible, since React Native's URL class has no setters.
 *
 * @module address
 */

/** Returns true if the address is relative and therefore must be resolved against the page's URL. */
export const isRelative = (url) => typeof url === "string" && /^(?!\w+:)./.test(url);

/** Adds a query parameter, such as "token=…", to an address. */
export const addQuery = (address, part) => address + (address.includes("?") ? "&" : "?") + part;

/**
 * Returns the address to connect to: resolves a relative address against the page, replaces http with ws, and adds the token to the
 * query. Throws TypeError if the address is invalid.
 */
export function toAddress(url, token) {
    const whole = isRelative(url) ? new URL(url, globalThis.document?.baseURI ?? globalThis.location).href : url;
    // Drop the fragment, which WebSocket does not accept.
    const address = /^wss?:[^#]*/i.exec(`${whole}`.replace(/^http/i, "ws"))?.[0];
    new URL(address);
    // The token replaces any tokens in the address.
    return token == null ? address : addQuery(address.replace(/([?&])(token=[^&]*(&|$))+/g, "$1").replace(/[?&]$/, ""), `token=${encodeURIComponent(token)}`);
}

/** The feature that explains invalid addresses. It is not part of the core because of its size. */
export function explainAddresses(core) {
    const { toAddress: compute } = core;
    core.toAddress = (url, token) => {
        try {
            return compute(url, token);
        } catch {
            // Omit the query and the user, which may contain secrets.
            throw new TypeError(`cannot connect to "${/[^?]*/.exec(url)[0].replace(/\/\/.*@/, "//")}": write "wss://host/path", or "/path" in a page`);
        }
    };
}
