//! Tests of the carrier over in-memory streams, in virtual time.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

use futures_io::{AsyncRead, AsyncWrite};

use super::*;
use crate::cluster::NodeId;
use CarrierEvent::{Down, Frame, Notice, Up};

const GREETING: &[u8] = b"INFO {\"version\":\"2.15.1\",\"max_payload\":1048576}\r\nPONG\r\n";
const UP: CarrierEvent = Up { max_payload: 1_048_576 };

/// One node's network, with a virtual clock.
#[derive(Default)]
struct World {
    now: Duration,
    /// The outcomes of the next connection attempts. Further attempts are refused.
    plan: VecDeque<Outcome>,
    /// The time and address of each attempt.
    attempts: Vec<(Duration, String)>,
}

enum Outcome {
    Refuse,
    Hang,
    Accept(Pipe),
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Makes the next connection succeed, with these bytes from the server.
    fn accept(&self, bytes: &[u8]) -> Pipe {
        let pipe = Pipe::default();
        pipe.ends().window = usize::MAX;
        pipe.send(bytes);
        self.world().plan.push_back(Outcome::Accept(pipe.clone()));
        pipe
    }
}

impl Environment for Shared {
    fn now(&self) -> Duration {
        self.world().now
    }

    fn random(&self) -> [u8; 16] {
        [0xff; 16]
    }
}

impl Dial for Shared {
    type Stream = Pipe;

    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Pipe>> + Send + 'static {
        let mut world = self.world();
        let now = world.now;
        world.attempts.push((now, format!("{host}:{port}")));
        let outcome = world.plan.pop_front().unwrap_or(Outcome::Refuse);
        async {
            match outcome {
                Outcome::Refuse => Err(ErrorKind::ConnectionRefused.into()),
                Outcome::Hang => std::future::pending().await,
                Outcome::Accept(pipe) => Ok(pipe),
            }
        }
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        let (world, due) = (self.clone(), self.world().now + time);
        std::future::poll_fn(move |_| match world.world().now >= due {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }
}

/// An in-memory connection, shared by the server's end and the node's.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    to_node: VecDeque<u8>,
    from_node: Vec<u8>,
    /// The number of bytes that the server will still read.
    window: usize,
    /// True if the node has shut down its write direction.
    is_shut: bool,
    is_closed: bool,
}

impl Pipe {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap()
    }

    fn send(&self, bytes: &[u8]) {
        self.ends().to_node.extend(bytes);
    }

    fn close(&self) {
        self.ends().is_closed = true;
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.ends();
        if ends.to_node.is_empty() && !ends.is_closed {
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut ends.to_node, buf))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.ends();
        if ends.is_closed {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let size = buf.len().min(ends.window);
        if size == 0 {
            return Poll::Pending;
        }
        ends.window -= size;
        ends.from_node.extend(&buf[..size]);
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ends().is_shut = true;
        Poll::Ready(Ok(()))
    }
}

struct Node {
    world: Shared,
    carrier: BrokerCarrier<Shared>,
}

impl Node {
    fn new(address: &str) -> Node {
        let world = Shared::default();
        let subjects = Subjects::new("chat", NodeId(1)).unwrap();
        let environment = Arc::new(world.clone());
        let address = address.parse().unwrap();
        let carrier = BrokerCarrier::new(world.clone(), environment, subjects, address);
        Node { world, carrier }
    }

    /// Returns all ready events.
    fn poll(&mut self) -> Vec<CarrierEvent> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut events = Vec::new();
        while let Poll::Ready(event) = self.carrier.poll_event(&mut cx) {
            events.push(event);
        }
        events
    }

    fn flush(&mut self) -> Poll<()> {
        self.carrier.poll_flush(&mut Context::from_waker(Waker::noop()))
    }

    /// Advances the clock by `time` in steps of 10 ms, and returns all events.
    fn run(&mut self, time: Duration) -> Vec<CarrierEvent> {
        let end = self.world.now() + time;
        let mut events = self.poll();
        while self.world.now() < end {
            self.world.world().now += Duration::from_millis(10);
            events.extend(self.poll());
        }
        events
    }

    fn run_ms(&mut self, time: u64) -> Vec<CarrierEvent> {
        self.run(Duration::from_millis(time))
    }

    /// Returns the pause before each attempt, in milliseconds.
    fn pauses(&self) -> Vec<u128> {
        let world = self.world.world();
        let pair = |pair: &[(Duration, String)]| (pair[1].0 - pair[0].0).as_millis();
        world.attempts.windows(2).map(pair).collect()
    }
}

fn down(reason: &str) -> CarrierEvent {
    Down(format!("nats://a:4222: {reason}"))
}

const REFUSED: &str = "it refuses connections: is it running?";

#[test]
fn outage_is_reported_once_and_recovered() {
    let mut node = Node::new("nats://a");
    assert_eq!(node.run_ms(5000), [down(REFUSED)]);
    assert_eq!(node.pauses(), [100, 200, 400, 800, 1000, 1000, 1000]);
    node.world.accept(GREETING);
    assert_eq!(node.run_ms(1000), [UP]);
}

#[test]
fn lost_link_is_reported_immediately() {
    let mut node = Node::new("nats://a");
    let first = node.world.accept(GREETING);
    assert_eq!(node.run_ms(2000), [UP]);
    first.close();
    assert_eq!(node.poll(), [down("it has closed the connection")]);
    assert!(!node.carrier.publish(Subject::All, Bytes::new()));
    assert!(node.flush().is_ready());
    node.world.accept(GREETING);
    assert_eq!(node.run_ms(100), [UP]);
}

#[test]
fn short_lived_links_back_off() {
    let mut node = Node::new("nats://a");
    for _ in 0..6 {
        node.world.accept(GREETING).close();
    }
    let events = node.run_ms(3600);
    assert_eq!(events.len(), 12, "{events:?}");
    assert_eq!(node.pauses(), [100, 200, 400, 800, 1000, 1000]);
    // A link that stays up for long enough resets the pause.
    let link = node.world.accept(GREETING);
    assert_eq!(node.run_ms(3000), [UP]);
    link.close();
    node.poll();
    node.world.accept(GREETING);
    assert_eq!(node.run_ms(100), [UP]);
}

#[test]
fn brokers_are_tried_in_order() {
    let mut node = Node::new("nats://a,nats://b:1");
    let refused = format!("nats://a:4222: {REFUSED}; nats://b:1: {REFUSED}");
    assert_eq!(node.poll(), [Down(refused)]);
    // The first broker is still down, but the second one accepts connections again.
    node.world.world().plan.push_back(Outcome::Refuse);
    let second = node.world.accept(GREETING);
    assert_eq!(node.run_ms(100), [UP]);
    // The next attempt starts again with the first broker.
    second.close();
    node.world.accept(GREETING);
    let events = node.run_ms(300);
    assert_eq!(events, [Down("nats://b:1: it has closed the connection".into()), UP]);
    let world = node.world.world();
    let hosts: Vec<&str> = world.attempts.iter().map(|(_, host)| &**host).collect();
    assert_eq!(hosts, ["a:4222", "b:1", "a:4222", "b:1", "a:4222"]);
}

#[test]
fn failover_to_second_broker_is_not_reported() {
    let mut node = Node::new("nats://a,nats://b");
    node.world.world().plan.push_back(Outcome::Refuse);
    node.world.accept(GREETING);
    assert_eq!(node.poll(), [UP]);
}

#[test]
fn connect_and_write_waits_time_out() {
    let mut node = Node::new("nats://a");
    node.world.world().plan.push_back(Outcome::Hang);
    assert_eq!(node.run_ms(1990), []);
    assert_eq!(node.run_ms(10), [down("no connection within 2 s")]);

    let mut node = Node::new("nats://a");
    node.world.accept(b"");
    assert_eq!(node.run_ms(1990), []);
    assert_eq!(node.run_ms(10), [down("it has sent no greeting within 2 s: is this NATS?")]);

    let mut node = Node::new("nats://a");
    let pipe = node.world.accept(GREETING);
    assert_eq!(node.run_ms(1990), [UP]);
    pipe.ends().from_node.clear();
    assert_eq!(node.run_ms(10), []);
    assert_eq!(pipe.ends().from_node, b"PING\r\n");
    assert_eq!(node.run_ms(1990), []);
    assert_eq!(node.run_ms(10), [down("it has sent nothing for 4 s")]);
}

#[test]
fn partial_writes_and_reads_preserve_frames() {
    let mut node = Node::new("nats://a");
    let pipe = node.world.accept(GREETING);
    pipe.send(b"MSG chat.all 1 1\r\na\r\nMSG chat.n.0000000000000001 2 2\r\nbc\r\nPING\r\n");
    let frame = |bytes: &'static [u8]| Frame(Bytes::from_static(bytes));
    assert_eq!(node.poll(), [UP, frame(b"a"), frame(b"bc")]);
    assert!(pipe.ends().from_node.ends_with(b"PING\r\nPONG\r\n"));

    pipe.ends().from_node.clear();
    pipe.ends().window = 0;
    let large = Bytes::from(vec![b'x'; 5000]);
    assert!(node.carrier.publish(Subject::All, large.clone()));
    assert!(node.carrier.publish(Subject::Node(NodeId(2)), Bytes::from_static(b"y")));
    assert!(node.flush().is_pending());
    for _ in 0..5100 {
        pipe.ends().window += 1;
        _ = node.flush();
    }
    assert!(node.flush().is_ready());
    let due = [b"PUB chat.all 5000\r\n", &large[..], b"\r\nPUB chat.n.0000000000000002 1\r\ny\r\n"];
    assert!(pipe.ends().from_node == due.concat());
}

#[test]
fn oversized_frame_is_rejected_and_others_arrive() {
    let mut node = Node::new("nats://a");
    let pipe = node.world.accept(GREETING);
    assert_eq!(node.poll(), [UP]);
    pipe.ends().from_node.clear();
    pipe.ends().window = 0;
    let frame = Bytes::from(vec![b'x'; 100_000]);
    let taken = (0..20).filter(|_| node.carrier.publish(Subject::All, frame.clone())).count();
    assert_eq!(taken, 10);
    pipe.ends().window = usize::MAX;
    assert!(node.flush().is_ready());
    assert_eq!(pipe.ends().from_node.len(), 10 * (b"PUB chat.all 100000\r\n\r\n".len() + 100_000));
    assert!(node.carrier.publish(Subject::All, frame));
}

#[test]
fn failed_write_reports_last_server_error() {
    let mut node = Node::new("nats://a");
    let pipe = node.world.accept(GREETING);
    assert_eq!(node.poll(), [UP]);
    assert!(node.carrier.publish(Subject::All, Bytes::new()));
    pipe.send(b"-ERR 'Slow Consumer'\r\n");
    pipe.close();
    assert!(node.flush().is_ready());
    let reason = "it has closed the link, because this node reads too slowly";
    assert_eq!(node.poll(), [down(reason)]);
}

#[test]
fn close_waits_for_pending_output_and_input() {
    let mut node = Node::new("nats://a");
    let pipe = node.world.accept(GREETING);
    assert_eq!(node.poll(), [UP]);
    pipe.ends().from_node.clear();
    pipe.ends().window = 3;
    assert!(node.carrier.publish(Subject::All, Bytes::from_static(b"bye")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(node.carrier.poll_close(&mut cx).is_pending());
    assert!(!pipe.ends().is_shut);
    pipe.ends().window = usize::MAX;
    pipe.send(b"MSG chat.all 1 1\r\na\r\n");
    assert!(node.carrier.poll_close(&mut cx).is_pending());
    assert_eq!(pipe.ends().from_node, b"PUB chat.all 3\r\nbye\r\n");
    assert!(pipe.ends().is_shut && pipe.ends().to_node.is_empty());
    pipe.close();
    assert!(node.carrier.poll_close(&mut cx).is_ready());
}

#[test]
fn repeated_notice_is_suppressed() {
    let mut node = Node::new("nats://a");
    let old = b"INFO {\"version\":\"2.9.10\",\"max_payload\":64}\r\nPONG\r\n";
    let first = node.world.accept(old);
    assert!(matches!(&node.poll()[..], [Up { .. }, Notice(text)] if text.contains("NATS 2.9.10")));
    first.close();
    node.world.accept(old);
    assert!(matches!(&node.run_ms(100)[..], [Down(_), Up { .. }]));
}
