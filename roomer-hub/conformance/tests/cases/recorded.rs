//! Tests that the same input produces the same output on every connection and every runtime.
//!
//! A fixed plan runs on a server with fixed ids. The bytes that each connection receives are
//! compared with a record. Since both adapters must match the record, they also agree with each
//! other.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use roomer_engine::{Environment, SystemEnvironment};

use super::test_server::TestServer;
use roomer_conformance::client::TIMEOUT;
use roomer_conformance::wire;

/// The number of clients. It is so small that each room is flushed in the poll that reads the
/// message.
const CLIENTS: usize = 6;
const STEPS: usize = 400;
const ROOMS: [&str; 5] = ["root", "r", "ro", "", "größe🏠"];

/// For each connection, the length and the FNV-1a hash of the bytes that it must receive.
const RECORDED: [(usize, u64); CLIENTS] = [
    (25_491, 0xcccd_6ed9_a701_438e),
    (20_908, 0xcca0_f820_bb89_1abd),
    (18_833, 0xc306_cbf6_9ce7_a066),
    (23_197, 0x4e1e_1217_aba3_ec11),
    (20_598, 0xcc87_36e3_6782_3ef7),
    (26_811, 0x82e5_d476_9b75_3d29),
];

/// An environment with the system's clock and consecutive ids.
struct Counted(SystemEnvironment, AtomicU64);

impl Environment for Counted {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn random(&self) -> [u8; 16] {
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        bytes
    }
}

#[test]
fn recorded_input_produces_recorded_output() {
    let test = TestServer::with(|builder| {
        builder.environment(Counted(SystemEnvironment::new(), AtomicU64::new(1))).on(
            "ask",
            |conn, message| {
                conn.send_to_client(conn.id().as_str(), "answer", message.payload);
                conn.send_to_room(message.room, "asked", b"");
                Ok(())
            },
        )
    });
    let mut clients: Vec<Recorder> = (0..CLIENTS).map(|_| Recorder::connect(test.addr)).collect();
    let mut dice = 0x0123_4567_89ab_cdef_u64;
    for step in 0..STEPS {
        let mut roll = |sides: usize| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice >> 11) as usize % sides
        };
        let (who, room) = (roll(CLIENTS), ROOMS[roll(ROOMS.len())]);
        let payload = wire::filler(roll(4) * 60 + roll(10));
        let other = clients[roll(CLIENTS)].id.clone();
        let said = match roll(8) {
            0 | 1 => wire::to_room(room, "join", b""),
            2 => wire::to_room(room, "leave", b""),
            3 => wire::to_room(room, "ask", &payload),
            4 => wire::to_client(&other, room, "psst", &payload),
            5 => wire::to_room(room, "new_member", &payload),
            _ => wire::to_room(room, "said", &payload),
        };
        clients[who].send(&said);
        clients[who].fence(step);
    }
    let got: Vec<(usize, u64)> = clients.into_iter().map(Recorder::finish).collect();
    assert_eq!(got, RECORDED, "if the change is meant, record what came");
}

struct Recorder {
    stream: TcpStream,
    id: String,
    received: Arc<Received>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Received {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Received {
    /// Waits until these bytes have arrived. Returns the position of the first of them.
    fn wait_for(&self, wanted: &[u8]) -> usize {
        let is_there = |bytes: &Vec<u8>| bytes.windows(wanted.len()).rposition(|w| w == wanted);
        let bytes = self.bytes.lock().unwrap();
        let (bytes, timeout) = self
            .more
            .wait_timeout_while(bytes, TIMEOUT, |bytes| is_there(bytes).is_none())
            .unwrap();
        assert!(!timeout.timed_out(), "{wanted:?} does not come");
        is_there(&bytes).unwrap()
    }
}

impl Recorder {
    fn connect(addr: SocketAddr) -> Recorder {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        let ask = format!(
            "GET /ws HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        let received = Arc::new(Received::default());
        let (mut source, sink) = (stream.try_clone().unwrap(), received.clone());
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = source.read(&mut buffer) {
                sink.bytes.lock().unwrap().extend_from_slice(&buffer[..size]);
                sink.more.notify_all();
            }
        });
        // In a `join_ack`, an empty `dst` is followed by `src`, and `src` by the snapshot.
        let at = received.wait_for(b"join_ack\0\0\0\0\0\0\0\x24") + 16;
        received.wait_for(b"\"]");
        let id = String::from_utf8(received.bytes.lock().unwrap()[at..at + 36].to_vec()).unwrap();
        Recorder { stream, id, received, reader }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits until the server has handled all messages that have been sent so far.
    fn fence(&mut self, step: usize) {
        let mark = format!("fence {step}.");
        let to_oneself = wire::to_client(&self.id.clone(), "", "fence", mark.as_bytes());
        self.send(&to_oneself);
        self.received.wait_for(mark.as_bytes());
    }

    fn finish(mut self) -> (usize, u64) {
        self.send(&wire::close(1000, ""));
        self.received.wait_for(b"\x88\x02\x03\xe8");
        self.reader.join().unwrap();
        let _ = self.stream.shutdown(Shutdown::Both);
        let bytes = self.received.bytes.lock().unwrap();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (bytes.len(), hash)
    }
}
