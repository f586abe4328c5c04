//! The read buffer: one per thread, so that an idle connection owns none.

use std::cell::Cell;

/// The size of the buffer in bytes.
const SIZE: usize = 256 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs a function with this thread's read buffer. A call within a call gets a buffer of its own.
pub(crate) fn with_buffer<T>(run: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken rather than borrowed: a call within `run` finds it empty and allocates.
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        // Zeroed once for each thread: `Transport` reads into initialised bytes.
        buffer = vec![0; SIZE];
    }
    let result = run(&mut buffer);
    BUFFER.set(buffer);
    result
}
