//! A node as one end of the benchmark: hub, cluster state machine and carrier, without clients.

use std::future::poll_fn;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use roomer_engine::cluster::{Carrier, CarrierEvent, Subjects};
use roomer_hub::cluster::{self, Change, Cluster, PeerState};
use roomer_hub::{Action, Config, ConnKey, HashKey, Hub, Input};
use roomer_proto::cluster::NodeId;
use tokio::runtime::Builder;

use crate::{End, Load, cpu, packet};

/// The number of nodes in this measurement that have discovered the other one.
pub(crate) static FORMED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn send(port: u16, round: usize, load: Load) -> End {
    Box::new(move |barrier| {
        run(port, round, 1, async |node| {
            let payload = vec![7; load.payload];
            barrier.wait();
            let before = cpu();
            let mut said = 0;
            while said < load.messages {
                for _ in 0..load.in_write {
                    (0..load.in_frame).for_each(|_| node.say(&payload));
                    said += load.in_frame;
                    node.publish();
                }
                node.turn().await;
            }
            let spent = cpu() - before;
            barrier.wait();
            spent
        })
    })
}

pub(crate) fn receive(port: u16, round: usize, load: Load) -> End {
    Box::new(move |barrier| {
        run(port, round, 2, async |node| {
            barrier.wait();
            let before = cpu();
            while node.received < load.messages {
                node.wait().await;
            }
            let spent = cpu() - before;
            barrier.wait();
            let resets = &node.cluster.statistics().resets;
            assert!(resets.is_empty(), "messages were lost: {resets:?}");
            spent
        })
    })
}

/// A node with one connection, which is a member of `root`.
struct Node {
    hub: Hub,
    cluster: Cluster,
    carrier: Box<dyn Carrier>,
    conn: ConnKey,
    start: Instant,
    received: usize,
}

/// Starts a node, waits until both nodes show each other's connection, and then runs `then`.
fn run<T>(port: u16, round: usize, number: u64, then: impl AsyncFnOnce(&mut Node) -> T) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut node = Node::new(port, round, number);
        let mut is_formed = false;
        // Wait until the other node shows this node's connection too.
        while FORMED.load(Ordering::SeqCst) < 2 {
            let _ = tokio::time::timeout(Duration::from_millis(20), node.wait()).await;
            node.turn().await;
            if !is_formed && node.is_formed() {
                is_formed = true;
                FORMED.fetch_add(1, Ordering::SeqCst);
            }
        }
        then(&mut node).await
    })
}

impl Node {
    fn new(port: u16, round: usize, number: u64) -> Node {
        let (name, id) = (format!("bench-{round}"), NodeId(number << 32));
        let subjects = Subjects::new(&format!("roomer.{name}"), id).unwrap();
        let address = format!("nats://127.0.0.1:{port}").parse().unwrap();
        let carrier = Box::new(roomer_tokio::broker_carrier(subjects, address));
        let mut cluster = Cluster::new(cluster::Config::new(&name, ""), id, Duration::ZERO);
        let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
        let own = id.tag().id([7; 16]);
        let actions = hub.handle(Duration::ZERO, Input::Open { id: own, extended: false });
        let (tables, mut conn) = (actions.tables(), None);
        for action in actions {
            match action {
                Action::Opened { conn: opened } => conn = Some(opened),
                Action::Joined { name: room, .. } => {
                    cluster.record(Duration::ZERO, tables, Change::Joined { id: own, room });
                }
                _ => {}
            }
        }
        let conn = conn.unwrap();
        Node { hub, cluster, carrier, conn, start: Instant::now(), received: 0 }
    }

    fn is_formed(&self) -> bool {
        let mut peers = self.cluster.peers();
        let is_live = peers.any(|peer| peer.state == PeerState::Live && peer.unapplied_bytes == 0);
        is_live && self.hub.tables().guest_count() == 1
    }

    /// Sends a message on behalf of the connection.
    fn say(&mut self, payload: &[u8]) {
        let now = self.start.elapsed();
        let actions =
            self.hub.handle(now, Input::Packet { conn: self.conn, packet: packet(payload) });
        let tables = actions.tables();
        for action in actions {
            let Action::Broadcast { peers, packet, .. } = action else { panic!("{action:?}") };
            let change = Change::Broadcast { peers, except: None, packet };
            self.cluster.record(now, tables, change);
        }
    }

    fn publish(&mut self) {
        let carrier = &mut self.carrier;
        self.cluster.publish(self.start.elapsed(), |to, frame| carrier.publish(to, frame.clone()));
    }

    /// Publishes and writes all pending output, and handles the frames received.
    async fn turn(&mut self) {
        poll_fn(|cx| {
            while let Poll::Ready(event) = self.carrier.poll_event(cx) {
                self.handle(event);
            }
            self.tick();
            loop {
                self.publish();
                if self.carrier.poll_flush(cx).is_pending() {
                    return Poll::Pending;
                }
                if !self.cluster.wants_to_publish() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    /// Waits for bytes from the broker, and handles the frames received.
    async fn wait(&mut self) {
        poll_fn(|cx| {
            let Poll::Ready(event) = self.carrier.poll_event(cx) else { return Poll::Pending };
            self.handle(event);
            Poll::Ready(())
        })
        .await;
        self.turn().await;
    }

    fn handle(&mut self, event: CarrierEvent) {
        let input = match event {
            CarrierEvent::Up { max_payload } => cluster::Input::Up { max_payload },
            CarrierEvent::Frame(frame) => cluster::Input::Frame(frame),
            CarrierEvent::Notice(_) => return,
            event => panic!("{event:?}"),
        };
        self.input(input);
    }

    fn tick(&mut self) {
        if self.cluster.wake_at() <= self.start.elapsed() {
            self.input(cluster::Input::Tick);
        }
    }

    fn input(&mut self, input: cluster::Input) {
        let now = self.start.elapsed();
        let effects: Vec<_> = self.cluster.handle(now, self.hub.tables(), input).collect();
        for effect in effects {
            let Some(input) = effect.hub_input() else { continue };
            for action in self.hub.handle(now, input) {
                // Do not iterate over the members: an iteration costs the same for any message.
                let is_message = matches!(black_box(&action), Action::Broadcast { packet, .. } if packet.event == "chat");
                self.received += usize::from(is_message);
            }
        }
    }
}
