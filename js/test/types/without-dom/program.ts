/** A program without the types of browsers and Node. */

import { connect } from "roomer";
import type { AbortSignalLike, URLLike } from "roomer";
import roomer from "roomer/compat";
import * as core from "roomer/core";
import { createServer } from "roomer/testkit";

declare const signal: AbortSignalLike;
declare const url: URLLike;
declare class Socket {
    constructor(url: string, protocols?: string[]);
}

const client = connect<{ chat: string }>(url, { codec: "json", signal, WebSocket: Socket });
client.root.on("chat", (text) => text.length, { signal });
client.root.request("chat" as never, "x", { signal });
core.connect("/ws");
roomer("ws://localhost/ws");
createServer();
// @ts-expect-error a listener is not a signal
connect(url, { signal: () => {} });
// @ts-expect-error an object is not an address
connect({ href: 5 });
