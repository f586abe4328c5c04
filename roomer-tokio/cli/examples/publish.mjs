// Publishes JSON to rooms of `roomer serve`.
//
// Run `KEY=… node publish.mjs http://127.0.0.1:9090 EVENT TEXT ROOM...`.
const [api, event, text, ...rooms] = process.argv.slice(2);
const response = await fetch(`${api}/v1/broadcast`, {
    method: "POST",
    headers: { authorization: `Bearer ${process.env.KEY}` },
    body: JSON.stringify({ rooms, event, json: { text } }),
    signal: AbortSignal.timeout(10_000)
});
const answer = await response.json();
if (!response.ok) {
    throw new Error(`${answer.error.code}: ${answer.error.message}`);
}
for (const [room, members] of Object.entries(answer.members)) {
    console.log(room, members);
}
