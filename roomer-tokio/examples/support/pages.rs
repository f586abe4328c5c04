//! The files that the chat servers embed: the chat page, the gallery and the JavaScript client.

use roomer_engine::Builder;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Embeds a file from the folder of the JavaScript client. `$path` is relative to that folder.
macro_rules! file {
    ($kind:ident, $path:literal) => {
        (concat!("/", $path), $kind, include_bytes!(concat!("../../../js/", $path)).as_slice())
    };
}

/// The modules and styles of the chat page and the gallery, and the client that both import. The
/// paths are those in the repository, so that the gallery also works there.
const FILES: &[(&str, &str, &[u8])] = &[
    file!(CSS, "chat/chat.css"),
    file!(JS, "chat/connection.js"),
    file!(JS, "chat/conversation.js"),
    file!(JS, "chat/drawers.js"),
    file!(JS, "chat/frame.js"),
    file!(JS, "chat/links.js"),
    file!(JS, "chat/log.js"),
    file!(JS, "chat/main.js"),
    file!(JS, "chat/members.js"),
    file!(JS, "chat/names.js"),
    file!(JS, "chat/seen.js"),
    file!(JS, "chat/summary.js"),
    file!(JS, "chat/typing.js"),
    file!(JS, "gallery/cable.js"),
    file!(CSS, "gallery/gallery.css"),
    file!(HTML, "gallery/chat.html"),
    file!(HTML, "gallery/counter.html"),
    file!(HTML, "gallery/cursors.html"),
    file!(HTML, "gallery/presence.html"),
    file!(JS, "src/address.js"),
    file!(JS, "src/client.js"),
    file!(JS, "src/codec.js"),
    file!(JS, "src/compat/bytecursor.js"),
    file!(JS, "src/compat/emitter.js"),
    file!(JS, "src/compat/roomer.js"),
    file!(JS, "src/connection.js"),
    file!(JS, "src/core.js"),
    file!(JS, "src/directs.js"),
    file!(JS, "src/error.js"),
    file!(JS, "src/events.js"),
    file!(JS, "src/feature.js"),
    file!(JS, "src/history.js"),
    file!(JS, "src/index.js"),
    file!(JS, "src/limits.js"),
    file!(JS, "src/options.js"),
    file!(JS, "src/outbox.js"),
    file!(JS, "src/own-info.js"),
    file!(JS, "src/pace.js"),
    file!(JS, "src/packet.js"),
    file!(JS, "src/subprotocol.js"),
    file!(JS, "src/receipts.js"),
    file!(JS, "src/rejections.js"),
    file!(JS, "src/renewal.js"),
    file!(JS, "src/requests.js"),
    file!(JS, "src/room.js"),
    file!(JS, "src/session.js"),
    file!(JS, "src/stream.js"),
    file!(JS, "src/tracing.js"),
];

/// Adds all files to a server.
pub fn add(builder: Builder) -> Builder {
    let builder = builder.page("/", HTML, &include_bytes!("../../../js/chat/index.html")[..]).page(
        "/gallery/",
        HTML,
        &include_bytes!("../../../js/gallery/index.html")[..],
    );
    FILES.iter().fold(builder, |builder, (path, kind, body)| builder.page(*path, *kind, *body))
}
