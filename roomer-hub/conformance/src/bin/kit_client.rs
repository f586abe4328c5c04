//! Connects the client of `roomer-proto` to the protocol's conformance kit (`roomer-proto/kit`).
//!
//! Reads commands and writes events, each as a line of JSON. The client's clock advances only by
//! commands.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test program, whose standard output is its interface"
)]

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use roomer_proto::PacketRef;
use roomer_proto::client::{
    Action, Address, Client, Event, Message, Options, Request, RequestError, RequestId,
};
use roomer_proto::extended::Info;
use serde_json::{Value, json};

enum Input {
    Line(String),
    Bytes(u32, Vec<u8>),
    End(u32),
}

struct Program {
    inputs: Sender<Input>,
    now: Duration,
    client: Option<Client>,
    url: String,
    token: Option<String>,
    stream: Option<TcpStream>,
    /// The number of the current connection. Bytes with another number belong to an earlier
    /// connection, and are ignored.
    number: u32,
    /// For each unanswered request that this client has sent: the name that the kit has given it.
    asked: BTreeMap<RequestId, String>,
    /// The requests that this client has received. The kit refers to them by index.
    open: Vec<Request>,
}

fn main() {
    let (inputs, received) = channel();
    let lines = inputs.clone();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let _ = lines.send(Input::Line(line.unwrap()));
        }
        std::process::exit(0);
    });
    let mut program = Program {
        inputs,
        now: Duration::ZERO,
        client: None,
        url: String::new(),
        token: None,
        stream: None,
        number: 0,
        asked: BTreeMap::new(),
        open: Vec::new(),
    };
    let lacks: [&str; 0] = [];
    let ready = json!({"on": "ready", "name": "roomer for Rust", "clock": true, "again": true, "lacks": lacks});
    println!("{ready}");
    for input in received {
        match input {
            Input::Line(line) => {
                let command: Value = serde_json::from_str(&line).unwrap();
                let mut done = program.command(&command);
                program.drive();
                done["on"] = "done".into();
                println!("{done}");
            }
            Input::Bytes(number, mut bytes) if number == program.number => {
                if let Some(client) = &mut program.client {
                    client.receive(program.now, &mut bytes);
                }
                program.drive();
            }
            Input::End(number) if number == program.number => {
                if let Some(client) = &mut program.client {
                    client.disconnected(program.now);
                }
                program.drive();
            }
            Input::Bytes(..) | Input::End(_) => {}
        }
    }
}

impl Program {
    /// Executes a command. Returns the fields to add to the answer.
    fn command(&mut self, command: &Value) -> Value {
        let text = |key: &str| command[key].as_str().unwrap_or_default();
        let now = self.now;
        match (text("do"), &mut self.client) {
            ("encode", _) => {
                return json!({"hex": to_hex(&packet(command, &from_hex(text("hex"))))});
            }
            ("decode", _) => return decoded(&from_hex(text("hex"))),
            ("token", _) => self.token = Some(text("token").into()),
            ("connect", _) => {
                let mut options = Options::default();
                // The command `token` provides later tokens.
                options.renews_login = true;
                if let Some(timeout) = command["timeout"].as_u64() {
                    options.answer_timeout = Duration::from_millis(timeout);
                }
                self.url = text("url").into();
                self.token = command["token"].as_str().map(Into::into);
                self.client = Some(Client::new(options));
            }
            ("advance", _) => {
                let time = Duration::from_millis(command["ms"].as_u64().unwrap());
                self.advance(now + time);
            }
            ("join", Some(client)) => {
                let result = match command["last"].as_u64() {
                    Some(last) => client.join_with_history(now, text("room"), last as u32),
                    None => client.join(now, text("room")),
                };
                return failure(result.err());
            }
            ("ask", Some(client)) => {
                let (to, payload) = (command["to"].as_str(), from_hex(text("hex")));
                let timeout = Duration::from_millis(command["timeout"].as_u64().unwrap_or(60_000));
                match client.request(now, text("room"), text("event"), to, &payload, timeout) {
                    Ok(id) => drop(self.asked.insert(id, text("key").into())),
                    Err(error) => return failure(Some(error)),
                }
            }
            ("answer", Some(client)) => {
                let request =
                    &self.open[text("key").trim_start_matches('r').parse::<usize>().unwrap()];
                return failure(match command["code"].as_str() {
                    Some(code) => client.fail(now, request, code, text("message")).err(),
                    None => client.reply(now, request, &from_hex(text("hex"))).err(),
                });
            }
            ("info", Some(client)) => {
                let info = Info::new(&command["json"].to_string()).unwrap();
                client.set_info(now, Some(info).filter(|info| !info.is_null()));
            }
            ("leave", Some(client)) => client.leave(now, text("room")),
            ("close", Some(client)) => client.close(now),
            ("send", Some(client)) => {
                let (to, payload) = (command["to"].as_str(), from_hex(text("hex")));
                let sent = client.send(now, text("room"), text("event"), to, &payload);
                return failure(sent.err());
            }
            ("members", Some(client)) => return members(client, text("room")),
            ("end", _) => self.end(),
            ("sync", _) => {}
            (other, _) => return json!({"error": format!("no command {other}")}),
        }
        json!({})
    }

    /// Drops the client, and increments the number for the next one.
    fn end(&mut self) {
        self.client = None;
        self.number += 1;
        if let Some(stream) = self.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Advances the clock to `until`. Stops at each of the client's deadlines.
    fn advance(&mut self, until: Duration) {
        while let Some(at) = self.client.as_ref().and_then(|client| client.deadline(self.now))
            && at <= until
        {
            self.now = at;
            self.drive();
        }
        self.now = until;
    }

    /// Does what the client requests, reports its events, and writes its pending output.
    fn drive(&mut self) {
        let now = self.now;
        let Some(mut client) = self.client.take() else { return };
        loop {
            while let Some(event) = client.next_event() {
                if let (Event::Expiring { .. }, Some(token)) = (&event, &self.token) {
                    let _ = client.renew(now, token);
                } else if let Some(line) = self.answered(&event).or_else(|| report(&event)) {
                    println!("{line}");
                }
            }
            match client.poll(now, u64::MAX / 2) {
                Some(Action::Connect) => self.connect(&mut client),
                Some(Action::Disconnect) => {
                    self.write(&mut client);
                    self.end();
                }
                _ if !self.write(&mut client) => break,
                _ => {}
            }
        }
        self.client = Some(client);
    }

    /// Writes the client's pending output. Returns false if there is none.
    fn write(&mut self, client: &mut Client) -> bool {
        let mut bytes = Vec::new();
        client.transmit(self.now, &mut bytes, &mut || [1, 2, 3, 4]);
        if let Some(stream) = &mut self.stream {
            // If the write fails, the stream has ended, and the thread that reads it reports the
            // end.
            let _ = stream.write_all(&bytes);
        }
        !bytes.is_empty()
    }

    /// Returns the line that reports an answer, or a request that this client must answer.
    fn answered(&mut self, event: &Event) -> Option<Value> {
        match event {
            Event::Answered { request, result } => {
                let key = self.asked.remove(request)?;
                Some(match result {
                    Ok(payload) => json!({"on": "answer", "key": key, "hex": to_hex(payload)}),
                    Err(RequestError::Failed { code, .. }) => {
                        json!({"on": "failure", "key": key, "code": code})
                    }
                    Err(error) => {
                        json!({"on": "failure", "key": key, "code": error.to_string()})
                    }
                })
            }
            Event::Request(request) => {
                self.open.push(request.clone());
                let Request { room, event, from, payload, .. } = request;
                Some(json!({
                    "on": "request", "key": format!("r{}", self.open.len() - 1), "room": &**room,
                    "event": &**event, "from": &**from, "hex": to_hex(payload),
                }))
            }
            _ => None,
        }
    }

    fn connect(&mut self, client: &mut Client) {
        println!("{}", json!({"on": "connecting"}));
        let mut address: Address = self.url.parse().unwrap();
        if let Some(token) = &self.token {
            address = address.query("token", token);
        }
        let stream = match TcpStream::connect((address.host(), address.port())) {
            Ok(stream) => stream,
            Err(error) => return client.failed(self.now, error.to_string()),
        };
        stream.set_nodelay(true).unwrap();
        self.number += 1;
        let (number, inputs) = (self.number, self.inputs.clone());
        let mut reader = stream.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let _ = inputs.send(Input::Bytes(number, buffer[..length].to_vec()));
            }
            let _ = inputs.send(Input::End(number));
        });
        self.stream = Some(stream);
        client.connected(&address, [7; 16]);
    }
}

/// Returns the line that reports an event; `None` for events that the kit does not use.
fn report(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Opened { id, is_resumed } => {
            json!({"on": "opened", "id": id.as_str(), "resumed": is_resumed})
        }
        Event::Suspended(_) => json!({"on": "suspended"}),
        Event::Closed(_) => json!({"on": "closed"}),
        Event::Joined { room } | Event::Rejoined { room, .. } => of_room("joined", room),
        Event::Refused { room } => of_room("refused", room),
        Event::Left { room } => of_room("left", room),
        Event::Removed { room } => of_room("removed", room),
        Event::MemberJoined { room, id } => of_member("member_joined", room, id.as_str()),
        Event::MemberLeft { room, id } => of_member("member_left", room, id.as_str()),
        Event::MemberChanged { room, id } => of_member("member_changed", room, id.as_str()),
        Event::Message(Message { room, event, from, is_direct, payload, .. }) => json!({
            "on": "message", "room": &**room, "event": &**event, "from": &**from,
            "direct": is_direct, "hex": to_hex(payload),
        }),
        Event::Missed { room } => of_room("history_lost", room),
        Event::Error(error) => json!({
            "on": "error", "code": &*error.code, "room": &*error.room, "event": &*error.event,
            "more": error.more,
        }),
        Event::Raw(_) => json!({"on": "raw"}),
        Event::Lost(lost) => json!({
            "on": "lost", "room": &*lost.packet.room, "event": &*lost.packet.event,
            "hex": to_hex(&lost.packet.payload),
        }),
        _ => return None,
    })
}

fn of_room(on: &str, room: &str) -> Value {
    json!({"on": on, "room": room})
}

fn of_member(on: &str, room: &str, id: &str) -> Value {
    json!({"on": on, "room": room, "id": id})
}

fn members(client: &Client, room: &str) -> Value {
    let Some(members) = client.members(room) else { return json!({}) };
    let list = members.ids().map(|id| {
        let info = members.info(id).map_or("null", Info::as_str);
        let mut member =
            json!({"id": id.as_str(), "info": serde_json::from_str::<Value>(info).unwrap()});
        if members.is_away(id) {
            member["away"] = json!(true);
        }
        if let Some(user) = members.user(id) {
            member["user"] = user.into();
        }
        member
    });
    json!({"members": list.collect::<Vec<_>>(), "count": members.count()})
}

fn failure<E: ToString>(error: Option<E>) -> Value {
    error.map_or(json!({}), |error| json!({"error": error.to_string()}))
}

/// Returns the encoded packet for an `encode` command.
fn packet(command: &Value, payload: &[u8]) -> Vec<u8> {
    let text = |key: &str| command[key].as_str().unwrap_or_default();
    let (room, event) = (text("room"), text("event"));
    PacketRef { room, event, dst: text("dst"), src: text("src"), payload }.to_bytes().to_vec()
}

fn decoded(bytes: &[u8]) -> Value {
    match PacketRef::decode(bytes) {
        Ok(PacketRef { room, event, dst, src, payload }) => json!({
            "room": room, "event": event, "dst": dst, "src": src, "hex": to_hex(payload),
        }),
        Err(_) => json!({"malformed": true}),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn from_hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}
