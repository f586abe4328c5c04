// Bun's server as a peer of `.ci/bench`, with its topics as rooms.
//
// Bun's built-in uWebSockets does the fan-out. It uses the generator's dialect `raw`: the text `+ROOM` joins a room and leaves
// the previous one, `-ROOM` leaves it, and each is echoed. Binary messages go to the other members.
//
//     npm install bun && PATH="$PWD/node_modules/.bin:$PATH"
//     bun .ci/bench-bun.js PORT
function leave(socket) {
    if (socket.data.room !== undefined) {
        socket.unsubscribe(socket.data.room);
        socket.data.room = undefined;
    }
}

Bun.serve({
    hostname: "127.0.0.1",
    port: Number(process.argv[2]),
    fetch(request, server) {
        return server.upgrade(request, { data: {} }) ? undefined : new Response("a WebSocket is needed\n", { status: 426 });
    },
    websocket: {
        perMessageDeflate: false,
        message(socket, message) {
            if (typeof message !== "string") {
                if (socket.data.room !== undefined) {
                    socket.publish(socket.data.room, message);
                }
                return;
            }
            leave(socket);
            if (message.startsWith("+")) {
                socket.data.room = message.slice(1);
                socket.subscribe(socket.data.room);
            }
            socket.send(message);
        },
        close: leave,
    },
});
