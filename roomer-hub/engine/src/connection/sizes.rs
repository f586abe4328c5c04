//! The bytes that each idle connection takes here. The rest is in the hub's tables and in the runtime;
//! `BENCHMARKS.md` has the sum.

use std::mem::size_of;

use crate::app::conn_info::ConnInfo;
use crate::connection::Connection;
use crate::connection::established::Established;
use crate::connection::session_state::SessionState;
use crate::metrics::trace;
use crate::outbound::replay::Replay;
use crate::outbound::socket_writer::SocketWriter;
use crate::session::Sessions;

/// A socket of smol's and tokio's size.
type Socket = [usize; 5];

#[test]
#[cfg(target_pointer_width = "64")]
fn a_connection_does_not_grow() {
    let task = size_of::<Connection>() - size_of::<trace::Span>();
    let writer = size_of::<SocketWriter<Socket>>();
    let sizes = [task, writer, size_of::<ConnInfo>(), size_of::<Established>()];
    // With tokio's 104 bytes around it, the task is rounded up to a multiple of 128 bytes: 256.
    // With the 16 of its `Arc`, the application's data fits into the gap that glibc leaves between two blocks
    // that are aligned to 128 bytes, such as tokio's tasks.
    let limits = [152, if cfg!(feature = "deflate") { 216 } else { 208 }, 88, 88];
    assert!(
        sizes.iter().zip(limits).all(|(size, limit)| *size <= limit),
        "{sizes:?} of {limits:?}"
    );
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_session_does_not_grow() {
    let sizes = [size_of::<SessionState>(), size_of::<Replay>(), Sessions::SIZE];
    // What an extended connection has besides, each with up to 15 bytes of the allocator's own.
    let limits = [72, 24, 24];
    assert!(
        sizes.iter().zip(limits).all(|(size, limit)| *size <= limit),
        "{sizes:?} of {limits:?}"
    );
}
