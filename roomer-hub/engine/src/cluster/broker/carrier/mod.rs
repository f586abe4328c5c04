//! A carrier over any supported broker: connects, starts TLS, drives the protocol, and reconnects.

mod deadline_timer;
#[cfg(test)]
#[cfg(feature = "nats")]
mod tests;

use std::io::{self, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use deadline_timer::DeadlineTimer;

use super::connection::{BrokerConnection, BrokerEvent, open};
use super::dial::Dial;
use super::stream::{BrokerStream, OpenConnection};
use crate::Environment;
use crate::cluster::address::Broker;
use crate::cluster::{BrokerAddress, Carrier, CarrierEvent, Subject, Subjects};

/// The timeout for connecting, and for the TLS handshake. The connection has a separate timeout for
/// its greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The first pause between attempts. Each further pause is twice as long, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between attempts. It limits how long a cluster stays partitioned after its
/// broker is reachable again.
const MAX_PAUSE: Duration = Duration::from_secs(1);

const READ_BUFFER: usize = 64 * 1024;

type Opening<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A [`Carrier`] over the broker at an address, on the runtime that implements [`Dial`].
pub struct BrokerCarrier<D: Dial> {
    dial: D,
    environment: Arc<dyn Environment>,
    subjects: Subjects,
    address: BrokerAddress,
    /// The current broker's index in `address`.
    current: usize,
    /// The reason for each broker's failure since the last pause.
    failures: Vec<String>,
    pause: Duration,
    state: State<D::Stream>,
    timer: DeadlineTimer,
    buffer: Box<[u8]>,
    /// True if the current outage has been reported.
    is_reported: bool,
    /// The last notice, stored so that it is not reported again after each reconnect.
    notice: String,
    up_since: Option<Duration>,
}

enum State<S> {
    Waiting {
        until: Duration,
    },
    Connecting {
        stream: Opening<S, io::Error>,
        until: Duration,
    },
    Securing {
        stream: Opening<BrokerStream<S>, String>,
        connection: Box<dyn BrokerConnection>,
        until: Duration,
    },
    Open(OpenConnection<S>),
    /// A placeholder while the connection is moved into the next state.
    Moving,
}

/// The result of polling a state.
enum Step<S> {
    Next(State<S>),
    Event(BrokerEvent),
    Failed(String),
}

impl<D: Dial> BrokerCarrier<D> {
    /// Creates a carrier that connects when first polled.
    pub fn new(
        dial: D,
        environment: Arc<dyn Environment>,
        subjects: Subjects,
        address: BrokerAddress,
    ) -> Self {
        BrokerCarrier {
            dial,
            environment,
            subjects,
            address,
            current: 0,
            failures: Vec::new(),
            pause: MIN_PAUSE,
            // Make the first attempt immediately.
            state: State::Waiting { until: Duration::ZERO },
            timer: DeadlineTimer::default(),
            buffer: vec![0; READ_BUFFER].into(),
            is_reported: false,
            notice: String::new(),
            up_since: None,
        }
    }

    fn broker(&self) -> &Broker {
        &self.address.brokers()[self.current]
    }

    fn connect(&self) -> State<D::Stream> {
        let Broker { host, port, .. } = self.broker();
        let stream = Box::pin(self.dial.connect(host.clone(), *port));
        State::Connecting { stream, until: self.environment.now() + CONNECT_TIMEOUT }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step<D::Stream>> {
        let (environment, dial) = (&*self.environment, &self.dial);
        let step = match &mut self.state {
            State::Waiting { until } => {
                ready!(self.timer.poll(cx, *until, environment, dial));
                Step::Next(self.connect())
            }
            State::Connecting { stream, until } => match stream.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => {
                    let broker = &self.address.brokers()[self.current];
                    let connection = open(broker, &self.subjects, environment.now());
                    let stream = BrokerStream::Plain(stream);
                    Step::Next(State::Open(OpenConnection::new(stream, connection)))
                }
                Poll::Ready(Err(error)) => Step::Failed(describe(&error)),
                Poll::Pending => {
                    ready!(self.timer.poll(cx, *until, environment, dial));
                    Step::Failed(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))
                }
            },
            State::Securing { stream, until, .. } => match stream.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => {
                    Step::Next(secured(&mut self.state, stream, environment))
                }
                Poll::Ready(Err(reason)) => Step::Failed(reason),
                Poll::Pending => {
                    ready!(self.timer.poll(cx, *until, environment, dial));
                    let limit = CONNECT_TIMEOUT.as_secs();
                    Step::Failed(format!("TLS does not start within {limit} s"))
                }
            },
            State::Open(link) => loop {
                // Handle events before reading more bytes: after an event that starts TLS, the next
                // bytes are not plain text.
                if let Some(event) = link.connection.next_event() {
                    break Step::Event(event);
                }
                let written = link.poll_write(cx);
                match link.poll_read(cx, &mut self.buffer) {
                    Poll::Ready(Ok(0)) => {
                        break Step::Failed("it has closed the connection".into());
                    }
                    Poll::Ready(Ok(size)) => {
                        link.connection.receive(&self.buffer[..size], environment.now());
                    }
                    Poll::Ready(Err(error)) => break Step::Failed(describe(&error)),
                    Poll::Pending => {
                        // Report a write error only after all received bytes are read, since the
                        // server's last message may explain the error.
                        if let Poll::Ready(Err(error)) = written {
                            break Step::Failed(describe(&error));
                        }
                        ready!(self.timer.poll(cx, link.connection.deadline(), environment, dial));
                        link.connection.tick(environment.now());
                    }
                }
            },
            State::Moving => Step::Failed("the link has no state".into()),
        };
        Poll::Ready(step)
    }

    /// Starts TLS on the open stream.
    fn secure(&mut self) -> Step<D::Stream> {
        let State::Open(OpenConnection { stream: BrokerStream::Plain(stream), connection, .. }) =
            mem::replace(&mut self.state, State::Moving)
        else {
            // Only a server that violates its protocol requests TLS within TLS.
            return Step::Failed("it requires TLS twice".into());
        };
        let until = self.environment.now() + CONNECT_TIMEOUT;
        let stream = secure(self.broker().clone(), stream);
        Step::Next(State::Securing { stream, connection, until })
    }

    /// Continues with the next broker, after a pause if all of them have failed.
    fn fail(&mut self, reason: &str) -> Option<CarrierEvent> {
        let failure = format!("{}: {reason}", self.broker());
        let now = self.environment.now();
        let count = self.address.brokers().len();
        self.current = (self.current + 1) % count;
        self.failures.push(failure);
        // If brokers accept a link but soon end it, the pause keeps growing.
        let was_up = self.up_since.take();
        if was_up.is_some_and(|since| now - since >= MAX_PAUSE) {
            self.pause = MIN_PAUSE;
        }
        // Try the next broker immediately, and pause only when all of them have failed.
        if was_up.is_none() && self.failures.len() < count {
            self.state = self.connect();
            return None;
        }
        self.state = State::Waiting { until: now + self.jitter(self.pause) };
        self.pause = (2 * self.pause).min(MAX_PAUSE);
        let reasons = mem::take(&mut self.failures).join("; ");
        (!mem::replace(&mut self.is_reported, true)).then_some(CarrierEvent::Down(reasons))
    }

    /// Returns a random time between half of `pause` and `pause` so that a cluster's nodes do not
    /// all connect at the same time.
    fn jitter(&self, pause: Duration) -> Duration {
        let [first, second, ..] = self.environment.random();
        // Sixteen bits are enough to spread nodes over half a second.
        let share = u32::from(u16::from_be_bytes([first, second]));
        pause / 2 + pause / 2 * share / u32::from(u16::MAX)
    }
}

impl<D: Dial> Carrier for BrokerCarrier<D> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<CarrierEvent> {
        loop {
            let mut step = ready!(self.poll_step(cx));
            // Start TLS here and not in the connection: TLS takes ownership of the stream, so the
            // carrier's state is replaced.
            if matches!(step, Step::Event(BrokerEvent::Secure)) {
                step = self.secure();
            }
            let event = match step {
                Step::Next(state) => {
                    self.state = state;
                    None
                }
                Step::Event(BrokerEvent::Frame(frame)) => Some(CarrierEvent::Frame(frame)),
                Step::Event(BrokerEvent::Notice(text)) => {
                    let notice = format!("{}: {text}", self.broker());
                    // NATS repeats its notice on each connection, but the operator receives it only
                    // once.
                    let last = mem::replace(&mut self.notice, notice.clone());
                    (last != notice).then_some(CarrierEvent::Notice(notice))
                }
                Step::Event(BrokerEvent::Up { max_payload }) => {
                    self.up_since = Some(self.environment.now());
                    self.failures.clear();
                    self.is_reported = false;
                    Some(CarrierEvent::Up { max_payload })
                }
                Step::Event(BrokerEvent::Down(reason)) => self.fail(&reason),
                Step::Failed(reason) => self.fail(&reason),
                Step::Event(BrokerEvent::Secure) => None,
            };
            if let Some(event) = event {
                return Poll::Ready(event);
            }
        }
    }

    fn publish(&mut self, to: Subject, frame: Bytes) -> bool {
        match &mut self.state {
            State::Open(link) => link.connection.publish(to, frame),
            _ => false,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open(link) = &mut self.state else {
            return Poll::Ready(());
        };
        if ready!(link.poll_write(cx)).is_err() {
            // Wake the task so that the next `poll_event` encounters the error again and reports
            // it.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(())
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Open(link) => link.poll_close(cx, &mut self.buffer),
            _ => Poll::Ready(()),
        }
    }
}

fn secured<S>(
    state: &mut State<S>,
    stream: BrokerStream<S>,
    environment: &dyn Environment,
) -> State<S>
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin,
{
    match mem::replace(state, State::Moving) {
        State::Securing { mut connection, .. } => {
            connection.secured(environment.now());
            State::Open(OpenConnection::new(stream, connection))
        }
        other => other,
    }
}

#[cfg(feature = "tls")]
fn secure<S>(broker: Broker, stream: S) -> Opening<BrokerStream<S>, String>
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static,
{
    Box::pin(async {
        super::tls::secure(broker, stream).await.map(|it| BrokerStream::Tls(Box::new(it)))
    })
}

#[cfg(not(feature = "tls"))]
fn secure<S>(_: Broker, _: S) -> Opening<BrokerStream<S>, String> {
    Box::pin(async { Err("it requires TLS, which needs the `tls` feature".into()) })
}

/// Returns an error's text as a clause.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "it refuses connections: is it running?".into(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            "it has cut the connection".into()
        }
        ErrorKind::UnexpectedEof => "it has closed the connection".into(),
        _ => error.to_string(),
    }
}
