/** Code that must not compile. TypeScript reports an error for each expectation that is not met. */

import { connect } from "roomer";
import type { Options } from "roomer";
import roomer from "roomer/compat";
import * as core from "roomer/core";

interface Events {
    chat: { text: string };
    cursor: [x: number, y: number];
    typing: undefined;
}

const client = connect<Events>("wss://example.org/ws", { codec: "json" });
const lobby = client.join("lobby");

// Payloads must have the right type.
// @ts-expect-error a string is not a { text }
lobby.send("chat", "hello");
// @ts-expect-error a property is missing
lobby.send("chat", {});
// @ts-expect-error a property has the wrong type
lobby.send("chat", { text: 5 });
// @ts-expect-error an unknown property
lobby.send("chat", { text: "hello", colour: "red" });
// @ts-expect-error a coordinate is missing
lobby.send("cursor", [1]);
// @ts-expect-error this event needs a payload
lobby.send("chat");
// @ts-expect-error this event has no payload
lobby.send("typing", { text: "hello" });

// Events must be in the map, and must be for messages.
// @ts-expect-error unknown event
lobby.send("chta", { text: "hello" });
// @ts-expect-error unknown event
lobby.on("chta", () => {});
// @ts-expect-error unknown event
lobby.messages("chta");

// Receivers.
// @ts-expect-error null is not a receiver
lobby.send("chat", { text: "psst" }, null);
// @ts-expect-error a number is not a receiver
lobby.send("chat", { text: "psst" }, 5);

// Arguments of listeners.
// @ts-expect-error the payload is not a string
lobby.on("chat", (text: string) => text);
// @ts-expect-error no such property
lobby.on("chat", ({ colour }) => colour);
// @ts-expect-error from is a string
lobby.on("chat", (payload, from: number) => from);

async function read(): Promise<void> {
    for await (const { payload } of lobby.messages("cursor")) {
        // @ts-expect-error a pair does not have a third item
        console.log(payload[2]);
    }
}
void read();

// Requests.
interface Calls {
    add: (numbers: [a: number, b: number]) => number;
    chat: { text: string };
}
const calls = connect<Calls>("/ws", { codec: "json" }).root;
// @ts-expect-error no such request
calls.request("sub", [1, 2]);
// @ts-expect-error a number is missing
calls.request("add", [1]);
// @ts-expect-error this request needs a payload
calls.request("add");
// @ts-expect-error the answer is a number
calls.request("add", [1, 2]).then((answer: string) => answer);
// @ts-expect-error no such option
calls.request("add", [1, 2], { timeOut: 5 });
// @ts-expect-error the result is a number
calls.handle("add", () => "3");
// @ts-expect-error the payload is a pair of numbers
calls.handle("add", (numbers: string) => numbers.length);
// @ts-expect-error a member is read-only
calls.member("id")!.info = 5;
// @ts-expect-error history is a number
connect("/ws").join("lobby", { history: true });

// The smaller client.
// @ts-expect-error the core accepts only objects as codecs
core.connect("/ws", { codec: "json" });
// @ts-expect-error not a feature
core.connect("/ws", { features: ["requests"] });

// Codecs and event maps that do not match.
// @ts-expect-error objects need the codec "json"
connect<Events>("/ws");
// @ts-expect-error objects need the codec "json"
connect<Events>("/ws", { codec: "text" });
// @ts-expect-error an object is not bytes
connect("/ws").root.send("data", { x: 1 });
// @ts-expect-error bytes are not text
connect("/ws", { codec: "text" }).root.send("data", new Uint8Array(1));
declare const options: Options;
// @ts-expect-error an event map needs a codec, which these options may lack
connect<Events>("/ws", options);
// @ts-expect-error no such codec
connect("/ws", { codec: "xml" });
// @ts-expect-error unknown payloads must be narrowed first
connect("/ws", { codec: "json" }).root.on("data", (payload) => payload.text);

// Options and properties.
// @ts-expect-error no such option
connect("/ws", { reconect: true });
// @ts-expect-error no such place
connect("/ws", { tokenIn: "header" });
// @ts-expect-error a count is read-only
lobby.count = 5;
// @ts-expect-error an address is required
connect();
// @ts-expect-error the name is read-only
lobby.name = "other";
// @ts-expect-error the set is read-only
lobby.memberSet.add("id");
// @ts-expect-error no such state
client.on("state", (state) => state === "opened");
// @ts-expect-error no such event of the client
client.on("chat", () => {});
// @ts-expect-error the original client takes only an address; connect() takes options
roomer("wss://example.org/ws", { codec: "json" });
