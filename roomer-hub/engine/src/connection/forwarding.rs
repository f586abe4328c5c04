//! Sockets whose sessions are on other nodes: requests the session and copies bytes to its node.
//!
//! [`crate::tunnel`] describes the other end.

use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::cluster::TUNNEL_DATA;
use roomer_proto::extended::{HELLO, SessionToken};
use roomer_proto::{PacketRef, ROOT};

use crate::connection::read_buffer::with_buffer;
use crate::connection::{Connection, MAX_READS_PER_POLL, Opening, State, Step};
use crate::core::cluster::returns::ReturnedClient;
use crate::handshake::session_request::{ResumeRequest, SessionRequest};
use crate::outbound::encode;
use crate::transport::Transport;
use crate::tunnel::pipe::{Answer, TunnelEnd};

/// The time within which the session's node must answer. Longer than the time for which that node
/// waits for the session's task.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// The multiple of `close_timeout` that limits the time for writing the last bytes to a client that
/// keeps accepting bytes.
const CLOSE_EXTENSIONS: u32 = 12;

/// The interval at which a socket without traffic checks whether the server is closing.
const IDLE: Duration = Duration::from_secs(60);

/// A socket waiting for the answer from its session's node.
pub(super) struct Requesting {
    tunnel: TunnelEnd,
    opening: Opening,
    token: SessionToken,
    received: u64,
    until: Duration,
}

/// A socket whose bytes are copied to and from its session's node.
pub(super) struct Forwarding {
    tunnel: TunnelEnd,
    to_client: Backlog,
    to_session: Backlog,
    /// The time at which the socket is dropped, once the other end has left the tunnel.
    until: Option<Duration>,
    /// The time beyond which a client that accepts bytes no longer postpones `until`.
    latest: Duration,
}

/// Bytes that were read but not yet written.
#[derive(Default)]
struct Backlog {
    bytes: Vec<u8>,
    written: usize,
    /// True if bytes were written since the flag was last reset.
    has_moved: bool,
}

/// The result of copying in one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copied {
    /// The reader has no more bytes, or the writer accepts no more.
    Waits,
    /// The reader may have more bytes.
    More,
    /// The reader has ended, and all its bytes are written.
    Ended,
    Failed,
}

impl Connection {
    /// Requests the session from its node. Returns false if the request cannot be sent.
    pub(super) fn request_session(
        &mut self,
        now: Duration,
        opening: &mut Opening,
        request: &ResumeRequest,
    ) -> bool {
        let ResumeRequest { token: Some(token), received: Some(received) } = *request else {
            return false;
        };
        // A request that arrives through a tunnel is for a session on this node, and is not passed
        // on to another node.
        let is_allowed = self.shared.options().cluster.as_ref().is_some_and(|own| own.hand_over);
        if !is_allowed || opening.tunnel.is_some() {
            return false;
        }
        let client = ReturnedClient {
            token,
            received,
            credentials: opening.credentials.as_deref(),
            compression: opening.compression,
            peer: self.peer.get(),
        };
        let Some(tunnel) = self.shared.core().request_session(now, &client) else { return false };
        tunnel.wake_link();
        let (opening, until) = (std::mem::take(opening), now + ANSWER_TIMEOUT);
        self.state =
            State::Requesting(Box::new(Requesting { tunnel, opening, token, received, until }));
        true
    }

    /// Waits for the answer from the session's node.
    pub(super) fn requesting(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Requesting(requesting) = &mut self.state else { return Step::Continue };
        if requesting.tunnel.is_cut(cx) || self.shared.is_closing() {
            return Step::Done;
        }
        let answer = match requesting.tunnel.poll_answer(cx) {
            Poll::Ready(Some(answer)) => answer,
            // Either the client has returned on another socket, or the session's node is ending and
            // the client will reconnect.
            Poll::Ready(None) => return Step::Done,
            Poll::Pending if now < requesting.until => return Step::Wait(requesting.until),
            Poll::Pending => Answer::Refused,
        };
        let State::Requesting(requesting) = std::mem::replace(&mut self.state, State::Done) else {
            return Step::Done;
        };
        let Requesting { tunnel, mut opening, token, received, .. } = *requesting;
        let hello = match answer {
            // The application has closed the session, and the close frame follows.
            Answer::Accepted { hello, .. } if hello.is_empty() => Some(Vec::new()),
            Answer::Accepted { secret, hello } => {
                let next = self.shared.core().unmask(&token, tunnel.key(), secret);
                complete_hello(&hello, &next)
            }
            Answer::Refused => None,
        };
        let Some(hello) = hello else {
            // Leave the tunnel before opening a new session, so that the session's node observes
            // that the client no longer waits there.
            drop(tunnel);
            self.shared.core().sessions.refused.other_node += 1;
            let resume = Some(ResumeRequest { token: Some(token), received: Some(received) });
            opening.session = Some(SessionRequest { resume });
            return self.establish(now, opening);
        };
        let Opening { response, leftover, .. } = opening;
        let mut to_client = Backlog { bytes: response, ..Backlog::default() };
        to_client.bytes.extend_from_slice(&hello);
        let to_session = Backlog { bytes: leftover, ..Backlog::default() };
        let (until, latest) = (None, Duration::MAX);
        let forwarding = Forwarding { tunnel, to_client, to_session, until, latest };
        self.state = State::Forwarding(Box::new(forwarding));
        Step::Continue
    }

    /// Copies bytes between the socket and the tunnel.
    pub(super) fn forwarding(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Forwarding(forwarding) = &mut self.state else { return Step::Continue };
        let Forwarding { tunnel, to_client, to_session, until, latest } = &mut **forwarding;
        // Drop the socket: the client keeps its session, and returns through another node.
        if tunnel.is_cut(cx) || self.shared.is_closing() {
            return Step::Done;
        }
        let socket = self.writer.socket();
        let up = to_session.copy(cx, socket, tunnel);
        let down = to_client.copy(cx, tunnel, socket);
        match (up, down) {
            (Copied::Ended, _) | (_, Copied::Failed) => Step::Done,
            (_, Copied::Ended) => self.close(now, None),
            (Copied::More, _) | (_, Copied::More) => Step::Later,
            (Copied::Waits | Copied::Failed, Copied::Waits) if !tunnel.has_ended(cx) => {
                Step::Wait(now + IDLE)
            }
            // The other end has left the tunnel, and the client does not accept the last bytes.
            (Copied::Waits | Copied::Failed, Copied::Waits) => {
                let wait = self.shared.options().close_timeout;
                let has_moved = std::mem::take(&mut to_client.has_moved);
                let end = match *until {
                    Some(until) if !has_moved => until,
                    Some(_) => (now + wait).min(*latest),
                    None => {
                        *latest = now + wait * CLOSE_EXTENSIONS;
                        now + wait
                    }
                };
                *until = Some(end);
                if now >= end { Step::Done } else { Step::Wait(end) }
            }
        }
    }
}

impl Backlog {
    /// Copies bytes in order from one transport to another.
    fn copy(&mut self, cx: &mut Context<'_>, from: &dyn Transport, to: &dyn Transport) -> Copied {
        for _ in 0..MAX_READS_PER_POLL {
            while self.written < self.bytes.len() {
                match to.try_write(&self.bytes[self.written..]) {
                    Ok(size) if size > 0 => {
                        self.written += size;
                        self.has_moved = true;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        match to.poll_writable(cx) {
                            Poll::Pending => return Copied::Waits,
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(_)) => return Copied::Failed,
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => return Copied::Failed,
                }
            }
            let read = with_buffer(|buffer| {
                let read = from.poll_read(cx, &mut buffer[..TUNNEL_DATA]);
                read.map_ok(|size| {
                    // Store only the bytes read, and free them once written: an idle socket holds
                    // no buffer.
                    self.bytes = buffer[..size].to_vec();
                    self.written = 0;
                    size
                })
            });
            match read {
                Poll::Pending => {
                    (self.bytes, self.written) = (Vec::new(), 0);
                    return Copied::Waits;
                }
                Poll::Ready(Ok(0) | Err(_)) => return Copied::Ended,
                Poll::Ready(Ok(_)) => {}
            }
        }
        Copied::More
    }
}

/// Inserts the session token, which the payload omits, and encodes `hello`. Returns `None` if the
/// payload has no place for the token.
fn complete_hello(payload: &str, token: &SessionToken) -> Option<Vec<u8>> {
    let (before, after) = payload.split_once("\"session\":null")?;
    let payload = format!("{before}\"session\":\"{}\"{after}", token.to_text());
    let (id, payload) = (token.id(), payload.as_bytes());
    let src = id.as_str();
    Some(encode(&PacketRef { room: ROOT, event: HELLO, dst: "", src, payload }))
}
