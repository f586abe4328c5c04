//! Executes the steps that disturb the socket or the task of a connection.

use std::io::ErrorKind;

use super::conn_model::End;
use super::harness::Harness;
use super::marks::Mark;
use super::plan::{AppAction, Step};
use crate::fault::Fault;

impl Harness<'_> {
    /// Executes a step that concerns the task or the socket of one connection.
    pub(super) fn inject(&mut self, at: usize, step: &Step) -> Result<(), Fault> {
        let task = self.conns[at].task;
        match *step {
            Step::Poll { .. } if !self.tasks.is_done(task) => {
                self.tasks.poll(task);
                self.observe(Some(task))
            }
            Step::Abort { .. } => {
                self.conns[at].is_aborted = true;
                // The connection stays marked as aborted, so no further output is expected from it.
                if self.tasks.is_done(task) {
                    return Ok(());
                }
                self.tasks.abort(task);
                self.observe(Some(task))
            }
            _ => {
                self.change_socket(at, step);
                Ok(())
            }
        }
    }

    /// Changes the state of a connection's socket.
    fn change_socket(&mut self, at: usize, step: &Step) {
        let conn = &mut self.conns[at];
        let peer = &conn.peer;
        match *step {
            Step::SocketSpace { bytes, .. } if conn.end != Some(End::Lost) => {
                peer.set_space(if bytes == u32::MAX { usize::MAX } else { bytes as usize });
                self.marks.mark(conn.expected.is_mid_frame(), Mark::HalfFrameResumed);
            }
            Step::LimitIo { read, write, .. } => {
                peer.max_read(read as usize);
                peer.max_write(write as usize);
                conn.is_narrow = true;
            }
            Step::Interrupt { .. } => peer.interrupt(1),
            Step::SendDuringWrite { sender: of, room, payload, .. } => {
                let application = self.application.clone();
                let action = AppAction::ToRoom { room, event: "cha", payload };
                peer.during_write(move || (0..3).for_each(|_| application.outside(of, &action)));
            }
            Step::SpuriousWritable { .. } => peer.spurious_writable(),
            Step::HalfClose { .. } => {
                conn.end.get_or_insert(End::Sending);
            }
            Step::Reset { .. } if conn.end != Some(End::Arrived) => {
                // As in TCP, a reset discards the bytes in flight, and those that were not read
                // yet.
                conn.traffic.in_flight.clear();
                peer.discard_unread();
                peer.set_space(0);
                peer.end_stream(Err(ErrorKind::ConnectionReset));
                peer.fail_writes(ErrorKind::ConnectionReset);
                (conn.end, conn.is_broken) = (Some(End::Arrived), true);
            }
            Step::Vanish { .. } if conn.end != Some(End::Arrived) => {
                conn.traffic.in_flight.clear();
                peer.discard_unread();
                peer.set_space(0);
                conn.end = Some(End::Lost);
            }
            Step::FailWrites { .. } => {
                peer.fail_writes(ErrorKind::BrokenPipe);
                conn.is_broken = true;
            }
            _ => {}
        }
    }
}
