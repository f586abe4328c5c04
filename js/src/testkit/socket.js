/** Both ends of an in-memory connection: the client's WebSocket class, and the server's end.
 *
 * @module testkit/socket
 */

import { toText } from "../packet.js";

class MemorySocket {
    binaryType = "blob";
    readyState = 0;
    bufferedAmount = 0;
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;
    /** The server's end. */
    #peer;
    /** True if all data is blocked while both ends consider the connection open. */
    #isHung = false;
    #offered;
    #network;

    constructor(network, url, protocols = []) {
        this.#network = network;
        this.url = String(url);
        this.#offered = [protocols].flat();
        // If the server selects a protocol, this changes when the connection opens.
        this.protocol = "";
        if (!/^wss?:/.test(this.url)) {
            throw new SyntaxError(`not the address of a WebSocket: ${url}`);
        }
        this.#network.later(() => this.#connect());
    }

    send(data) {
        if (this.readyState === 0) {
            throw new Error("send() before the socket is open");
        }
        if (this.readyState === 1) {
            const copy = new Uint8Array(data).slice().buffer;
            this.bufferedAmount += copy.byteLength;
            this.#pass(() => {
                this.bufferedAmount -= copy.byteLength;
                this.#peer?.received(copy);
            });
        }
    }

    close(code = 1005, reason = "") {
        if (this.readyState < 2) {
            this.readyState = 2;
            this.#pass(() => {
                this.#hangUp(code);
                this.#end(code, reason);
            });
        }
    }

    #connect() {
        if (this.readyState !== 0) {
            return;
        }
        this.#peer = this.#network.accept({
            deliver: (packet) => this.#pass(() => {
                if (this.readyState === 1) {
                    // A real socket delivers a Blob too, unless the client has requested ArrayBuffers.
                    this.onmessage?.({ data: this.binaryType === "arraybuffer" ? packet.slice().buffer : new Blob([packet]) });
                }
            }),
            close: (code, reason) => this.#pass(() => this.#end(code, reason)),
            cut: () => this.#end(1006, ""),
            hang: () => void (this.#isHung = true)
        }, this.url, this.#offered);
        if (this.#peer) {
            this.readyState = 1;
            this.protocol = this.#offered.find((each) => each === "roomer") ?? "";
            this.onopen?.({});
            this.#peer.opened();
        } else {
            this.onerror?.({});
            this.#end(1006, "");
        }
    }

    /** Runs an action after the latency, unless the connection blocks all data. */
    #pass(action) {
        this.#network.later(() => this.#isHung || action());
    }

    /** Notifies the server's end that the connection has ended, at most once, and with which close frame, if any. */
    #hangUp(code) {
        const peer = this.#peer;
        this.#peer = undefined;
        peer?.ended(code);
    }

    #end(code, reason) {
        if (this.readyState !== 3) {
            this.readyState = 3;
            this.#hangUp(code === 1006 ? undefined : code);
            this.onclose?.({ code, reason, wasClean: code !== 1006 });
        }
    }
}

/** Returns the token that a client has sent, in its address or as a subprotocol. */
export function readToken(url, protocols) {
    const offered = protocols.find((each) => each.startsWith("token."));
    if (offered) {
        return toText(Uint8Array.from(atob(offered.slice(6).replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0)));
    }
    return new URL(url).searchParams.get("token") ?? undefined;
}

/**
 * Returns a class for the `WebSocket` option of connect(). The classes of all servers share their methods: V8 keeps everything
 * that a class refers to until a full garbage collection, so methods created for each server would keep the server in memory
 * until then.
 *
 * @param {object} network
 * @param {(action: () => void) => void} network.later runs an action after the network's latency; actions run in the order of the
 * calls
 * @param {(link: object, url: string, protocols: string[]) => object | undefined} network.accept returns the server's end of a
 * new connection, or undefined to reject the connection. The server's end has the methods opened(), received(buffer) and
 * ended(code); `code` is that of the client's close frame, which may answer the server's, or undefined without one
 */
export function createSocketClass(network) {
    const Socket = new Proxy(MemorySocket, {
        // With the proxy as its class, each socket would get its own hidden class.
        construct: (target, args, newTarget) => Reflect.construct(target, [network, ...args], newTarget === Socket ? target : newTarget)
    });
    return Socket;
}
