//! One compressor and one decompressor per thread, which all connections of the thread share.

use std::cell::Cell;

use roomer_proto::websocket::deflate::{Deflater, Inflater};

thread_local! {
    static DEFLATER: Cell<Option<Box<Deflater>>> = const { Cell::new(None) };
    static INFLATER: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
}

/// Runs a function with this thread's compressor.
pub(super) fn with_deflater<T>(run: impl FnOnce(&mut Deflater) -> T) -> T {
    // Take the compressor instead of borrowing it: a nested call then creates another one instead
    // of panicking.
    let mut deflater = DEFLATER.take().unwrap_or_default();
    let result = run(&mut deflater);
    DEFLATER.set(Some(deflater));
    result
}

/// Runs a function with this thread's decompressor.
pub(super) fn with_inflater<T>(run: impl FnOnce(&mut Inflater) -> T) -> T {
    let mut inflater = INFLATER.take().unwrap_or_default();
    let result = run(&mut inflater);
    INFLATER.set(Some(inflater));
    result
}
