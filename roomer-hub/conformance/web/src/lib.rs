//! Exports the client for browsers to the JavaScript of the browser tests.
#![cfg(target_family = "wasm")]

use std::time::Duration;

use roomer_engine::client::{Client, Event, Events, Options, Web};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

/// A client that runs in a page.
#[wasm_bindgen]
pub struct Page {
    client: Client<Web>,
}

/// The events of a client, as lines of text.
#[wasm_bindgen]
pub struct Lines {
    events: Events,
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[wasm_bindgen]
impl Page {
    /// Connects. If the server does not answer within this time, gives up. Requests with the event
    /// `double` are answered.
    #[wasm_bindgen(constructor)]
    pub fn new(url: &str, answer_millis: u32) -> Result<Page, String> {
        let mut options = Options::default();
        options.answer_timeout = Duration::from_millis(answer_millis.into());
        let builder = Client::builder(url).map_err(text_of)?.options(options);
        let builder = builder.on_request("double", |request| async move {
            Ok((2 * request.text()?.parse::<i64>()?).to_string())
        });
        let client = builder.connect().map_err(text_of)?;
        Ok(Page { client })
    }

    /// Joins a room. Returns once the client is a member of it.
    pub async fn join(&self, room: &str) -> Result<(), String> {
        self.client.join(room).joined().await.map_err(text_of)
    }

    /// Sends a message to a room that the client has joined.
    pub fn send(&self, room: &str, event: &str, payload: &str) -> Result<(), String> {
        self.client.join(room).send(event, payload).map(drop).map_err(text_of)
    }

    /// Asks another client to double a number. Returns the answer.
    pub async fn request(&self, room: &str, to: &str, payload: &str) -> Result<String, String> {
        let limit = Duration::from_secs(20);
        let answer = self.client.join(room).request_to(to, "double", payload, limit);
        String::from_utf8(answer.await.map_err(text_of)?.to_vec()).map_err(text_of)
    }

    /// Returns the id of the client, or an empty string before its first connection.
    pub fn id(&self) -> String {
        self.client.id().map(|id| id.to_string()).unwrap_or_default()
    }

    /// Returns a stream of the events that occur from now on.
    pub fn events(&self) -> Lines {
        Lines { events: self.client.events() }
    }

    /// Closes the client. Does not wait until it is closed.
    pub fn close(&self) {
        let client = self.client.clone();
        spawn_local(async move { drop(client.close().await) });
    }
}

#[wasm_bindgen]
impl Lines {
    /// Returns the next event, or an empty string if there are no more.
    pub async fn next(&mut self) -> String {
        match self.events.next().await {
            None => String::new(),
            Some(Event::Message(message)) => {
                format!(
                    "{}: {} {}",
                    message.room,
                    message.event,
                    message.text().unwrap_or_default()
                )
            }
            Some(Event::Opened { is_resumed: true, .. }) => "resumed".into(),
            Some(Event::Opened { .. }) => "opened".into(),
            Some(Event::Suspended(_)) => "suspended".into(),
            Some(Event::Joined { room }) => format!("joined {room}"),
            Some(Event::Rejoined { room, .. }) => format!("rejoined {room}"),
            Some(Event::Lost(_)) => "lost".into(),
            Some(Event::Closed(why)) => format!("closed: {why}"),
            Some(_) => "other".into(),
        }
    }
}
