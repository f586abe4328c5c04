//! The bare loop that the benchmark compares a node with.
//!
//! It writes bytes prepared in advance, and skips each message that it receives by its length.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::{End, Load, cpu, packet};

pub(crate) fn send(port: u16, load: Load) -> End {
    Box::new(move |barrier| {
        let mut stream = connect(port);
        let body = packet(&vec![7; load.payload]).to_bytes().repeat(load.in_frame);
        let mut frame = format!("PUB bench.n {}\r\n", body.len()).into_bytes();
        frame.extend_from_slice(&body);
        frame.extend_from_slice(b"\r\n");
        let writes = load.messages / load.in_frame / load.in_write;
        barrier.wait();
        let before = cpu();
        // Assemble the bytes of each write, as a node must do.
        let mut bytes = Vec::new();
        for _ in 0..writes {
            bytes.clear();
            (0..load.in_write).for_each(|_| bytes.extend_from_slice(&frame));
            stream.write_all(&bytes).unwrap();
        }
        let spent = cpu() - before;
        barrier.wait();
        spent
    })
}

pub(crate) fn receive(port: u16, load: Load) -> End {
    Box::new(move |barrier| {
        let mut messages = Messages::subscribe(connect(port), "bench.n");
        barrier.wait();
        let before = cpu();
        for _ in 0..load.messages / load.in_frame {
            messages.next();
        }
        let spent = cpu() - before;
        barrier.wait();
        spent
    })
}

pub(crate) fn connect(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
    stream
}

/// The messages received on a subscription.
pub(crate) struct Messages {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    /// The bytes from here to `to` have been read, but not consumed.
    from: usize,
    to: usize,
}

impl Messages {
    /// Subscribes, and waits for the server's confirmation.
    pub(crate) fn subscribe(mut stream: TcpStream, subject: &str) -> Messages {
        stream.write_all(format!("SUB {subject} 1\r\nPING\r\n").as_bytes()).unwrap();
        let mut messages = Messages { stream, buffer: vec![0; 64 * 1024], from: 0, to: 0 };
        while messages.line() != b"PONG" {}
        messages
    }

    /// Skips the next message.
    pub(crate) fn next(&mut self) {
        loop {
            let line = self.line();
            if line.starts_with(b"MSG") {
                let digits = line.rsplit(|byte| *byte == b' ').next().unwrap();
                let len = digits.iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
                return self.skip(len + 2);
            }
        }
    }

    fn line(&mut self) -> &[u8] {
        loop {
            let bytes = &self.buffer[self.from..self.to];
            if let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
                let start = self.from;
                self.from += end + 2;
                return &self.buffer[start..start + end];
            }
            self.read();
        }
    }

    fn skip(&mut self, mut len: usize) {
        while self.to - self.from < len {
            len -= self.to - self.from;
            self.from = self.to;
            self.read();
        }
        self.from += len;
    }

    fn read(&mut self) {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        let read = self.stream.read(&mut self.buffer[self.to..]).unwrap();
        assert_ne!(read, 0, "the broker has closed the connection");
        self.to += read;
    }
}
