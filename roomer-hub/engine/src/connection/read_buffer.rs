//! The read buffer, shared by all connections on a thread: idle connections allocate none.

use std::cell::Cell;

/// The buffer's size in bytes.
const SIZE: usize = 256 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `run` with this thread's read buffer. A nested call allocates a separate buffer.
pub(crate) fn with_buffer<T>(run: impl FnOnce(&mut [u8]) -> T) -> T {
    // Take the buffer instead of borrowing it: a nested call finds it empty and allocates another
    // one.
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        // Fill the buffer with zeros once per thread, since `Transport` reads into initialized
        // bytes.
        buffer = vec![0; SIZE];
    }
    let result = run(&mut buffer);
    BUFFER.set(buffer);
    result
}
