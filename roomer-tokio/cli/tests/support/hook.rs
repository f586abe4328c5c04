//! A service to which webhooks are sent. The test determines its answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

use data_encoding::HEXLOWER;
use ring::hmac;
use serde_json::Value;

/// A request that the service has received.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Verifies the signature of the request, as the documentation describes it.
    pub fn is_signed_with(&self, secret: &[u8]) -> bool {
        let time = self.header("roomer-timestamp").unwrap();
        let signature = self.header("roomer-signature").unwrap().strip_prefix("v1=").unwrap();
        let signature = HEXLOWER.decode(signature.as_bytes()).unwrap();
        let message = [time.as_bytes(), b".", &self.body].concat();
        let age = super::tokens::now(0) - time.parse::<i64>().unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        age.abs() < 60 && hmac::verify(&key, &message, &signature).is_ok()
    }
}

/// The service's reaction to a request.
pub enum Reply {
    Json(u16, Value),
    /// Sends these bytes, which include the head, and keeps the connection open for further requests.
    Raw(Vec<u8>),
    /// Sends nothing, and waits until the client closes the connection.
    Hang,
    Close,
}

type Decide = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running service.
pub struct Hook {
    pub address: String,
    decide: Arc<Mutex<Arc<Decide>>>,
    asked: Receiver<Asked>,
}

impl Hook {
    pub fn start(decide: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Hook {
        Hook::start_with(decide, Some)
    }

    /// Starts a service. `wrap` wraps each of its sockets, for example in TLS.
    pub fn start_with<S: Read + Write>(
        decide: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(std::net::TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        let decide: Arc<Mutex<Arc<Decide>>> = Arc::new(Mutex::new(Arc::new(decide)));
        let (sender, asked) = mpsc::channel();
        let (deciding, wrap) = (decide.clone(), Arc::new(wrap));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (wrap, sender, deciding) = (wrap.clone(), sender.clone(), deciding.clone());
                thread::spawn(move || {
                    let Some(stream) = wrap(stream.unwrap()) else { return };
                    let mut stream = BufReader::new(stream);
                    while let Some(asked) = receive(&mut stream) {
                        // The send fails if the test has ended.
                        let _ = sender.send(asked.clone());
                        let decide = deciding.lock().unwrap().clone();
                        if answer(stream.get_mut(), decide(&asked)).is_none() {
                            return;
                        }
                    }
                });
            }
        });
        Hook { address, decide, asked }
    }

    /// Replaces the function that determines the reply to a request.
    pub fn decides(&self, decide: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.decide.lock().unwrap() = Arc::new(decide);
    }

    /// Waits for the next request.
    pub fn next(&self) -> Asked {
        self.asked.recv().unwrap()
    }

    /// Returns the requests that have arrived, except for those that an earlier call has returned.
    pub fn arrived(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn receive(stream: &mut impl BufRead) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let asked = Asked { head, body: Vec::new() };
    let length = asked.header("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { body, ..asked })
}

/// Sends a reply. Returns `None` if the connection must be closed.
fn answer(stream: &mut impl Write, reply: Reply) -> Option<()> {
    let (bytes, is_kept) = match reply {
        Reply::Json(status, value) => {
            let body = value.to_string();
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n");
            (format!("{head}Connection: close\r\n\r\n{body}").into_bytes(), false)
        }
        Reply::Raw(bytes) => (bytes, true),
        Reply::Hang => (Vec::new(), true),
        Reply::Close => return None,
    };
    stream.write_all(&bytes).and_then(|()| stream.flush()).ok()?;
    is_kept.then_some(())
}
