//! TCP sockets for adapters: socket options, and reads and writes that bypass the runtime's reactor.

use std::io::{self, IoSlice, Read};
use std::net::Shutdown;

use socket2::SockRef;

/// The maximum number of unsent bytes that the kernel buffers for one connection. Without this
/// limit, the kernel buffers several megabytes for a client that does not read, and slow readers
/// are detected late.
const MAX_UNSENT: u32 = 128 * 1024;

/// Disables Nagle's algorithm and limits the unsent bytes that the kernel buffers. Errors are ignored,
/// since sockets other than TCP work without these settings.
pub fn prepare<'s>(socket: impl Into<SockRef<'s>>) {
    let socket = socket.into();
    // The engine batches messages itself, so Nagle's algorithm would only delay the last bytes of a
    // batch.
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
}

/// Lifts the limit set by [`prepare`] so that a close frame fits behind bytes that a slow reader has
/// not accepted.
pub fn prepare_final_write<'s>(socket: impl Into<SockRef<'s>>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.into().set_tcp_notsent_lowat(u32::MAX);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}

/// Reads available bytes without polling the reactor, and returns their number.
///
/// # Errors
///
/// Returns the socket's error, which is `WouldBlock` if no bytes are available.
pub fn read<'s>(socket: impl Into<SockRef<'s>>, buf: &mut [u8]) -> io::Result<usize> {
    (&*socket.into()).read(buf)
}

/// Writes as many bytes as fit without polling the reactor, and returns their number.
///
/// # Errors
///
/// Returns the socket's error, which is `WouldBlock` if no byte fits.
pub fn write<'s>(socket: impl Into<SockRef<'s>>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = socket.into();
    // In a process with a second thread, the C library's `send` switches cancellation of the thread
    // on and off, which costs more instructions than the rest of the call.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let [buf] = bufs {
        return Ok(rustix::net::send(&*socket, buf, rustix::net::SendFlags::NOSIGNAL)?);
    }
    socket.send_vectored(bufs)
}

/// Shuts down the write direction.
pub fn shutdown<'s>(socket: impl Into<SockRef<'s>>) {
    let _ = socket.into().shutdown(Shutdown::Write);
}
