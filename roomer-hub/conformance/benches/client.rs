//! Compares a client with a bare WebSocket client in the same run.
//!
//! Run `cargo bench -p roomer-conformance --bench client`. Linux only.
//!
//! The server runs in its own process. Each figure is the median of several rounds, in which the
//! two clients take turns. CPU time is that of the thread that drives the client; memory is that of
//! the process, divided by the number of clients.
#![allow(clippy::print_stdout, reason = "a benchmark, whose standard output is its result")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::{TokioAdapter, client_async};
use async_tungstenite::tungstenite::Message;
use futures_util::StreamExt;
use roomer_engine::client::{Client, Runtime};
use roomer_proto::{PacketRef, ROOT};
use roomer_smol::client::Smol;
use roomer_tokio::client::Tokio;
use roomer_tokio::{Presence, Server, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

type Error = Box<dyn std::error::Error>;
type Bare = WebSocketStream<TokioAdapter<TcpStream>>;

const ROUNDS: usize = 5;
const CLIENTS: usize = 2_000;
const MESSAGES: usize = 40_000;
const KINDS: [&str; 3] = ["bare", "plain", "extended"];

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match arguments[..] {
        [] => compare(),
        ["serve"] => runtime.block_on(serve_here()),
        ["idle", "bare", url] => runtime.block_on(idle_bare(url)),
        ["idle", kind, url] => runtime.block_on(idle::<Tokio>(kind, url)),
        ["idle on smol", kind, url] => smol::block_on(idle::<Smol>(kind, url)),
        ["echo", kind, url, window] => runtime.block_on(echo(kind, url, window.parse()?)),
        _ => Err("usage: client".into()),
    }
}

/// Runs each measurement in a separate process, and prints the medians.
fn compare() -> Result<(), Error> {
    let (_server, url) = start_server()?;
    let rows: [(&str, &[&str], &[&str]); 4] = [
        (
            "bytes of an idle client, in root without presence and in a room of its own",
            &["idle"],
            &KINDS,
        ),
        ("the same on smol", &["idle on smol"], &KINDS[1..]),
        ("CPU of a message to itself, one at a time, in ns", &["echo", "1"], &KINDS),
        ("CPU of a message to itself, 64 outstanding, in ns", &["echo", "64"], &KINDS),
    ];
    for (name, row, kinds) in rows {
        let mut figures = vec![Vec::new(); kinds.len()];
        for _ in 0..ROUNDS {
            for (kind, figures) in kinds.iter().zip(&mut figures) {
                let arguments = [&[row[0], kind, &url], &row[1..]].concat();
                let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
                let text = String::from_utf8(output.stdout)?;
                figures.push(
                    text.trim().parse::<f64>().map_err(|_| {
                        format!("{text}{}", String::from_utf8_lossy(&output.stderr))
                    })?,
                );
            }
        }
        let medians: Vec<f64> = figures.into_iter().map(median).collect();
        print!("{name}:");
        for (kind, figure) in kinds.iter().zip(&medians) {
            print!(" {kind} {figure:.0} ({:.2})", figure / medians[0]);
        }
        println!();
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The kill can only fail because the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_server() -> Result<(Running, String), Error> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("serve").stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let running = Running(child);
    let mut url = String::new();
    BufReader::new(output).read_line(&mut url)?;
    Ok((running, url.trim().to_owned()))
}

async fn serve_here() -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{}/ws", listener.local_addr()?);
    // The list of thousands of members would otherwise dominate the memory of an idle client.
    let server = Server::builder().presence("root", Presence::Off).build()?;
    Ok(serve(listener, server).await?)
}

/// The number of clients that connect first, so that memory that all clients share is not counted.
const FIRST: usize = 100;

/// The time allowed for the last clients to finish all work that does not depend on messages.
const REST: Duration = Duration::from_secs(6);

/// Connects many clients, and prints the memory in bytes that each of them uses when idle.
async fn idle<R: Runtime>(kind: &str, url: &str) -> Result<(), Error> {
    let mut clients = Vec::new();
    let mut before = 0;
    for number in 0..CLIENTS + FIRST {
        if number == FIRST {
            before = resident()?;
        }
        let client = connect::<R>(kind, url)?;
        let room = client.join(&format!("room {number}"));
        room.joined().await?;
        clients.push((client, room));
    }
    R::sleep(REST).await;
    println!("{}", (resident()? - before) as f64 / CLIENTS as f64);
    Ok(())
}

/// Like [`idle`], with bare clients.
async fn idle_bare(url: &str) -> Result<(), Error> {
    let mut clients = Vec::new();
    let mut before = 0;
    for number in 0..CLIENTS + FIRST {
        if number == FIRST {
            before = resident()?;
        }
        let room = format!("room {number}");
        let (mut socket, _) = dial(url).await?;
        let packet = PacketRef { room: &room, event: "join", ..PacketRef::default() };
        socket.send(Message::Binary(packet.to_bytes())).await?;
        socket.next().await.ok_or("closed")??;
        clients.push(tokio::spawn(async move { socket.next().await.is_some() }));
    }
    tokio::time::sleep(REST).await;
    println!("{}", (resident()? - before) as f64 / CLIENTS as f64);
    Ok(())
}

/// Prints the CPU time for one message, which a client sends to itself.
async fn echo(kind: &str, url: &str, window: usize) -> Result<(), Error> {
    let payload = [7; 64];
    if kind == "bare" {
        let (mut socket, id) = dial(url).await?;
        let packet = PacketRef { room: ROOT, event: "echo", dst: &id, src: "", payload: &payload };
        let send = || Message::Binary(packet.to_bytes());
        for _ in 0..window {
            socket.send(send()).await?;
        }
        for number in 0..MESSAGES + 1000 {
            warm(number);
            receive(&mut socket).await?;
            socket.send(send()).await?;
        }
    } else {
        let client = connect::<Tokio>(kind, url)?;
        let id = client.opened().await?;
        let root = client.root();
        let mut messages = root.messages();
        for _ in 0..window {
            root.send_to(id, "echo", payload)?;
        }
        for number in 0..MESSAGES + 1000 {
            warm(number);
            messages.next().await.ok_or("closed")?;
            root.send_to(id, "echo", payload)?;
        }
    }
    let spent = STARTED.with(|started| Ok::<_, Error>(cpu()? - started.get()))?;
    println!("{}", spent as f64 / MESSAGES as f64);
    Ok(())
}

thread_local! {
    static STARTED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// After some warm-up messages, restarts the measurement.
fn warm(number: usize) {
    if number == 1000 {
        STARTED.with(|started| started.set(cpu().unwrap_or_default()));
    }
}

async fn receive(socket: &mut Bare) -> Result<(), Error> {
    loop {
        let message = socket.next().await.ok_or("closed")??;
        if PacketRef::decode(&message.into_data())?.event == "echo" {
            return Ok(());
        }
    }
}

fn connect<R: Runtime>(kind: &str, url: &str) -> Result<Client<R>, Error> {
    Ok(Client::builder(url)?.extended(kind == "extended").queue(1000, 1 << 20).connect()?)
}

/// Connects a bare client, and returns its id.
async fn dial(url: &str) -> Result<(Bare, String), Error> {
    let authority = url.trim_start_matches("ws://").trim_end_matches("/ws");
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = client_async(url, stream).await?;
    let first = socket.next().await.ok_or("closed")??.into_data();
    let id = PacketRef::decode(&first)?.src.to_owned();
    Ok((socket, id))
}

/// Returns this thread's CPU time in nanoseconds.
fn cpu() -> Result<u64, Error> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().ok_or("no schedstat")?.parse()?)
}

/// Returns this process's resident memory in bytes.
fn resident() -> Result<usize, Error> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split(' ').nth(1).ok_or("no statm")?.parse()?;
    Ok(pages * rustix::param::page_size())
}
