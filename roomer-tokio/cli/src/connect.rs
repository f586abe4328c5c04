//! Options for connecting to a server, and opening the connection.

use std::cell::OnceCell;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use roomer_proto::ConnId;
use roomer_tokio::client::{
    Client, Event, Events, Failure as Lost, InvalidAddress, JoinError, Room,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::failure::{Failure, shown};
use crate::stop::GRACE;

/// The capacity of the buffer for events, which fills up while the output is slow.
const BUFFER: usize = 8192;
/// The limits of the queue for sending: messages, and bytes in total. The server limits the size of
/// each message.
const QUEUE: (usize, usize) = (1000, 64 << 20);

#[derive(clap::Args)]
pub(crate) struct Connect {
    /// The server's address, ws:// or wss://.
    pub(crate) url: String,
    /// The token for the server, sent as ?token=….
    #[arg(long, env = "ROOMER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A handshake header, such as 'Authorization: Bearer …'; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Trust the certificates in this PEM file, and no others.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Use the plain protocol, which has no sessions, requests or member info.
    #[arg(long)]
    plain: bool,
    /// How long to wait for the server's answers, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// The client, once it is started.
    #[arg(skip)]
    started: OnceCell<Client>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // This rejects values that `f64` also parses: negative and infinite numbers, and `nan`.
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "not a time above 0".to_owned())
}

#[derive(clap::Args)]
pub(crate) struct Payload {
    /// The payload; `-` reads all of standard input. Write `--` in front of other text that begins with `-`.
    #[arg(allow_negative_numbers = true)]
    payload: Option<String>,
}

impl Payload {
    pub(crate) fn read(&self) -> Result<Vec<u8>, Failure> {
        match self.payload.as_deref() {
            Some("-") => {
                // Read bytes, since a payload need not be text.
                let mut bytes = Vec::new();
                let read = std::io::stdin().read_to_end(&mut bytes);
                read.map_err(|error| Failure::Input(format!("standard input: {error}")))?;
                Ok(bytes)
            }
            payload => Ok(payload.unwrap_or_default().into()),
        }
    }
}

/// A client and its event stream.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) events: Events,
}

impl Connect {
    /// Creates a client. It connects in the background.
    pub(crate) fn start(&self) -> Result<Connection, Failure> {
        let wrong =
            |error: InvalidAddress| Failure::Input(format!("{}: {error}", shown(&self.url)));
        let mut builder = Client::builder(&self.url).map_err(wrong)?.extended(!self.plain);
        builder = builder.queue(QUEUE.0, QUEUE.1);
        for header in &self.headers {
            // Split at the first colon, since the value, such as an origin, may contain others.
            let (name, value) = header.split_once(':').ok_or_else(|| {
                // The text may contain a token.
                Failure::Input("a --header is not of the form 'NAME: VALUE'".into())
            })?;
            builder = builder.header(name.trim(), value.trim()).map_err(wrong)?;
        }
        if let Some(token) = &self.token {
            builder = builder.fixed_token(token);
        }
        if let Some(file) = &self.ca {
            builder = builder.tls(trusting(file)?);
        }
        let client = builder.connect().map_err(wrong)?;
        // The client's task has not run yet, so the stream will contain all events.
        let events = client.events_with(BUFFER);
        // A command starts only one client.
        let _ = self.started.set(client.clone());
        Ok(Connection { client, events })
    }

    /// Closes the client at the end of a command, even if the command failed. Otherwise the server
    /// would keep the client's session, and the client would stay a member of its rooms for a while.
    /// A server that does not respond delays the command's end by at most a second.
    pub(crate) async fn close(&self) {
        if let Some(client) = self.started.get() {
            let _ = tokio::time::timeout(GRACE, client.close()).await;
        }
    }

    /// Creates a client, and waits until it is connected. If the first attempt fails, returns the
    /// failure.
    pub(crate) async fn open(&self) -> Result<Connection, Failure> {
        let mut connection = self.start()?;
        let opened = async {
            loop {
                match connection.events.next().await {
                    Some(Event::Opened { .. }) => return Ok(()),
                    Some(Event::Suspended(failure)) => {
                        // Return the failure instead of letting the client retry, so that scripts
                        // can decide for themselves.
                        return Err(Failure::lost(&self.url, &failure));
                    }
                    Some(Event::Closed(closing)) => {
                        return Err(Failure::closed(&self.url, &closing));
                    }
                    Some(_) => {}
                    None => return Err(Failure::NoConnection(shown(&self.url))),
                }
            }
        };
        match tokio::time::timeout(self.timeout, opened).await {
            Ok(opened) => opened.map(|()| connection),
            Err(_) => Err(Failure::lost(&self.url, &Lost::Timeout)),
        }
    }

    /// Joins a room, and waits until the server has accepted or rejected the join.
    pub(crate) async fn join(&self, client: &Client, room: &str) -> Result<Room, Failure> {
        let room = client.join(room);
        match tokio::time::timeout(self.timeout, room.joined()).await {
            Ok(Ok(())) => Ok(room),
            Ok(Err(JoinError::Closed)) => Err(Failure::closed(&self.url, &client.closed().await)),
            Ok(Err(error)) => Err(Failure::join(room.name(), error)),
            Err(_) => Err(Failure::TimedOut("no answer in time: the room is not joined".into())),
        }
    }

    pub(crate) fn receiver(&self, id: Option<&str>) -> Result<Option<ConnId>, Failure> {
        let parse = |id: &str| {
            id.parse().map_err(|_| Failure::Input(format!("--to {id:?} is not the id of a member")))
        };
        id.map(parse).transpose()
    }
}

/// Returns a TLS configuration that trusts only the certificates in `file`.
fn trusting(file: &PathBuf) -> Result<Arc<ClientConfig>, Failure> {
    let wrong = |why: String| Failure::Input(format!("--ca {}: {why}", file.display()));
    let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    // A file that contains only a key is valid PEM, but then no server would be trusted.
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".into()));
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
