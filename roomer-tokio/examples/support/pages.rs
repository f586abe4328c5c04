//! What the chat servers show in a browser, embedded: the chat page, the gallery, the client.

use roomer_hub::server::Builder;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// A file of the client's folder, under the address it has there.
macro_rules! file {
    ($kind:ident, $path:literal) => {
        (concat!("/", $path), $kind, include_bytes!(concat!("../../../js/", $path)).as_slice())
    };
}

/// The gallery and the modules that its pages import, at the paths that they have in the
/// repository, so that the same pages work from there.
const FILES: &[(&str, &str, &[u8])] = &[
    file!(CSS, "gallery/gallery.css"),
    file!(HTML, "gallery/chat.html"),
    file!(HTML, "gallery/counter.html"),
    file!(HTML, "gallery/cursors.html"),
    file!(HTML, "gallery/presence.html"),
    file!(JS, "src/bytecursor.js"),
    file!(JS, "src/client.js"),
    file!(JS, "src/codec.js"),
    file!(JS, "src/emitter.js"),
    file!(JS, "src/error.js"),
    file!(JS, "src/events.js"),
    file!(JS, "src/index.js"),
    file!(JS, "src/link.js"),
    file!(JS, "src/packet.js"),
    file!(JS, "src/queue.js"),
    file!(JS, "src/room.js"),
    file!(JS, "src/roomer.js"),
    file!(JS, "src/stream.js"),
];

/// Adds all pages to a server.
pub fn add(builder: Builder) -> Builder {
    let builder = builder
        .page("/", HTML, &include_bytes!("../../../js/chat/index.html")[..])
        .page("/roomer.js", JS, &include_bytes!("../../../js/src/roomer.js")[..])
        .page("/bytecursor.js", JS, &include_bytes!("../../../js/src/bytecursor.js")[..])
        .page("/emitter.js", JS, &include_bytes!("../../../js/src/emitter.js")[..])
        .page("/gallery/", HTML, &include_bytes!("../../../js/gallery/index.html")[..]);
    FILES.iter().fold(builder, |builder, (path, kind, body)| builder.page(*path, *kind, *body))
}
