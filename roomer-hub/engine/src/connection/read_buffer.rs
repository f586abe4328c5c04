//! What connections read into: one buffer per thread, so that an idle connection owns none.

use std::cell::Cell;

/// The size of the read buffer, of which each thread has one.
const READ: usize = 256 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends this thread's read buffer. A second loan inside the first gets a buffer of its own.
pub(crate) fn with_buffer<T>(run: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        buffer = vec![0; READ];
    }
    let result = run(&mut buffer);
    BUFFER.set(buffer);
    result
}
