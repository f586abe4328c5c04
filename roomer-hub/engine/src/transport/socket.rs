//! Settings of TCP sockets, for adapters.

use std::io::{self, IoSlice};
use std::net::Shutdown;

use socket2::SockRef;

/// Unsent bytes that the kernel may hold for one connection. Without this bound it takes some
/// megabytes of whoever does not read, and a slow reader shows late.
const UNSENT: u32 = 128 * 1024;

/// Makes a fresh socket send at once, and bounds what it hoards. Best effort: a socket that is no
/// TCP socket goes without.
pub fn prepare<'s>(socket: impl Into<SockRef<'s>>) {
    let socket = socket.into();
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

/// Lifts the bound of [`prepare`], so that a close frame still finds room behind what a slow
/// reader has not taken.
pub fn prepare_final_write<'s>(socket: impl Into<SockRef<'s>>) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.into().set_tcp_notsent_lowat(u32::MAX);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}

/// Writes what fits without asking a reactor first.
///
/// # Errors
///
/// What the socket says; `WouldBlock` when nothing fits.
pub fn write<'s>(socket: impl Into<SockRef<'s>>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.into().send_vectored(pieces)
}

/// Ends the writing direction.
pub fn shutdown<'s>(socket: impl Into<SockRef<'s>>) {
    let _ = socket.into().shutdown(Shutdown::Write);
}
