//! Tests of this crate's memory per idle connection.
//!
//! The rest is in the hub's tables and in the runtime; `BENCHMARKS.md` lists the total.

use std::mem::size_of;

use crate::app::conn_info::ConnInfo;
use crate::connection::Connection;
use crate::connection::established::Established;
use crate::connection::session_state::SessionState;
use crate::metrics::trace;
use crate::outbound::outbox::Queue;
use crate::outbound::replay::Replay;
use crate::outbound::socket_writer::SocketWriter;
use crate::session::Sessions;

/// The size of a smol or tokio socket.
type Socket = [usize; 4];

#[test]
#[cfg(target_pointer_width = "64")]
fn connection_size_does_not_grow() {
    let task = size_of::<Connection>() - size_of::<trace::Span>();
    let writer = size_of::<SocketWriter<Socket>>();
    let sizes = [task, writer, size_of::<ConnInfo>(), size_of::<Established>()];
    // tokio adds 104 bytes to the task, which is then rounded up to a multiple of 128 bytes: 256.
    // With the 16 bytes of their `Arc`s, the writer and the application's data fit into the gaps that
    // glibc leaves between two blocks aligned to 128 bytes, such as tokio's tasks.
    let limits = [152, 88, 88, 88];
    assert!(
        sizes.iter().zip(limits).all(|(size, limit)| *size <= limit),
        "{sizes:?} of {limits:?}"
    );
}

#[test]
#[cfg(target_pointer_width = "64")]
fn session_size_does_not_grow() {
    let sizes =
        [size_of::<SessionState>(), size_of::<Replay>(), Sessions::SIZE, size_of::<Queue>()];
    // The additional allocations of an extended connection, each with up to 15 bytes of allocator
    // overhead. The queue refers to the log, so an idle extended connection keeps it.
    let queue = if cfg!(feature = "deflate") { 128 } else { 120 };
    let limits = [72, 24, 24, queue];
    assert!(
        sizes.iter().zip(limits).all(|(size, limit)| *size <= limit),
        "{sizes:?} of {limits:?}"
    );
}
