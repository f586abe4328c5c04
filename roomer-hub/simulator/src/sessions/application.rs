//! The application under test: handlers, hooks and `authorize`.
//!
//! Their actions are recorded in one log, together with the inputs to the hub, in the order in
//! which they occur.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roomer_engine::{Builder, Claims, Conn, HandshakeRequest, RecordedInput, Rejection, Server};
use roomer_testkit::Clock;

use super::plan::{AppAction, ROOMS, Setup};
use crate::alphabet::{id_number, identity, noise};

/// The handlers, one per event, named after their actions. Slow handlers wait before they act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Sends a message to the client that called the handler.
    Echo,
    /// Sends a message to the room `root`.
    Announce,
    /// Adds the client to a room that it has not requested to join.
    MoveIn,
    /// Closes the client's connection.
    Bye,
    SlowEcho,
    SlowAnnounce,
    SlowBye,
}

pub const SCRIPTS: [(&str, Script); 7] = [
    ("echo", Script::Echo),
    ("announce", Script::Announce),
    ("movein", Script::MoveIn),
    ("bye", Script::Bye),
    ("slowecho", Script::SlowEcho),
    ("slowannounce", Script::SlowAnnounce),
    ("slowbye", Script::SlowBye),
];

/// The payload of the messages that handlers send, as an offset in the noise and a length.
pub const REPLY: (u8, u32) = (9, 5);

impl Script {
    pub fn is_slow(self) -> bool {
        matches!(self, Script::SlowEcho | Script::SlowAnnounce | Script::SlowBye)
    }
}

/// An entry in the log. A connection is given by its id number.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Input(RecordedInput),
    Called {
        by: u16,
        script: Script,
    },
    /// A slow handler starts to wait until this time.
    Waits {
        by: u16,
        until: Duration,
    },
    Acts {
        by: u16,
        action: Action,
    },
    Returned {
        by: u16,
    },
    Dropped {
        by: u16,
    },
    Connected {
        by: u16,
    },
    Disconnected {
        by: u16,
    },
    /// The value that the application has stored with a connection is missing.
    Forgot {
        by: u16,
    },
}

/// An action by the application. It must cause the next input of the hub.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    ToRoom { room: &'static str, payload: &'static [u8] },
    ToClient { payload: &'static [u8] },
    Join(&'static str),
    Leave(&'static str),
    Close(u16),
}

/// The value that the application stores with each connection: the connection's id number.
struct Stored(u16);

#[derive(Clone, Debug, Default)]
pub struct Application(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub struct State {
    pub log: Vec<Event>,
    inputs: Vec<RecordedInput>,
    /// The number of calls to `authorize_async` that are pending.
    pub authorizing: usize,
    /// The number of calls to `authorize` and `authorize_async` that have completed.
    pub authorized: usize,
    /// The number of slow handlers that are running.
    pub running: usize,
}

impl Application {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the inputs that the hub has received since the last call to the log.
    pub fn collect(&self, server: &Server) {
        let mut state = self.state();
        let State { log, inputs, .. } = &mut *state;
        server.take_journal(inputs);
        log.extend(inputs.drain(..).map(Event::Input));
    }

    fn record(&self, server: &Server, event: Event) {
        self.collect(server);
        self.state().log.push(event);
    }

    /// Records an event if the value that `on_connect` stored with the connection is missing.
    fn recall(&self, conn: &Conn) {
        let by = number(conn);
        if conn.get().is_none_or(|stored: Arc<Stored>| stored.0 != by) {
            self.record(conn.server(), Event::Forgot { by });
        }
    }

    pub fn client_action(&self, conn: &Conn, action: Action) {
        self.record(conn.server(), Event::Acts { by: number(conn), action });
        match action {
            Action::ToRoom { room, payload } => conn.send_to_room(room, "said", payload),
            Action::ToClient { payload } => conn.send("told", payload),
            Action::Join(room) => conn.join(room),
            Action::Leave(room) => conn.leave(room),
            Action::Close(code) => conn.close(code, "bye"),
        }
    }

    pub fn register(&self, mut builder: Builder, setup: &Setup, clock: &Clock) -> Builder {
        for (event, script) in SCRIPTS {
            let application = self.clone();
            builder = match script.is_slow() {
                false => builder.on(event, move |conn, _| {
                    let by = number(conn);
                    application.record(conn.server(), Event::Called { by, script });
                    application.recall(conn);
                    application.client_action(conn, script.action());
                    application.record(conn.server(), Event::Returned { by });
                    Ok(())
                }),
                true => {
                    let (clock, wait) = (clock.clone(), setup.handler_wait);
                    builder.on_async(event, move |conn, _| {
                        let by = number(&conn);
                        application.record(conn.server(), Event::Called { by, script });
                        let mut call = SlowCall::new(application.clone(), conn);
                        let clock = clock.clone();
                        async move {
                            call.wait(&clock, wait).await;
                            call.application.recall(&call.conn);
                            call.application.client_action(&call.conn, script.action());
                            call.is_finished = true;
                            let (server, by) = (call.conn.server(), number(&call.conn));
                            call.application.record(server, Event::Returned { by });
                            Ok(())
                        }
                    })
                }
            };
        }
        let (one, other) = (self.clone(), self.clone());
        builder = builder
            .on_connect(move |conn| {
                conn.set(Stored(number(conn)));
                one.record(conn.server(), Event::Connected { by: number(conn) });
            })
            .on_disconnect(move |conn, _| {
                other.record(conn.server(), Event::Disconnected { by: number(conn) });
            });
        self.authorize(builder, setup, clock)
    }

    fn authorize(&self, builder: Builder, setup: &Setup, clock: &Clock) -> Builder {
        let valid_for = setup.valid_for;
        let decide = move |request: &HandshakeRequest| {
            if request.query("deny").is_some() {
                return Err(Rejection::unauthorized("no"));
            }
            let mut claims = Claims::new();
            if let Some(user) = request.query("user") {
                claims = claims.user(user);
            }
            if valid_for > 0 {
                claims = claims.valid_for(millis(valid_for));
            }
            Ok(claims)
        };
        let (application, clock) = (self.clone(), clock.clone());
        let Some(wait) = setup.auth_wait else {
            return builder.authorize(move |request| {
                application.state().authorized += 1;
                decide(request)
            });
        };
        builder.authorize_async(move |request| {
            let call = Authorizing::new(application.clone());
            let clock = clock.clone();
            async move {
                clock.sleep(millis(wait.into())).await;
                call.0.state().authorized += 1;
                drop(call);
                decide(&request)
            }
        })
    }
}

impl Script {
    fn action(self) -> Action {
        let payload = noise(REPLY.0, REPLY.1);
        match self {
            Script::Echo | Script::SlowEcho => Action::ToClient { payload },
            Script::Announce | Script::SlowAnnounce => Action::ToRoom { room: "root", payload },
            Script::MoveIn => Action::Join(ROOMS[2]),
            Script::Bye | Script::SlowBye => Action::Close(4000),
        }
    }
}

impl AppAction {
    pub fn action(self) -> Action {
        let room = |number: u8| ROOMS[usize::from(number) % ROOMS.len()];
        match self {
            AppAction::ToRoom { room: number, len } => {
                Action::ToRoom { room: room(number), payload: noise(11, len.into()) }
            }
            AppAction::ToClient { len } => Action::ToClient { payload: noise(12, len.into()) },
            AppAction::Join(number) => Action::Join(room(number)),
            AppAction::Leave(number) => Action::Leave(room(number)),
            AppAction::Close => Action::Close(4001),
        }
    }
}

/// A call to a slow handler that is running.
struct SlowCall {
    application: Application,
    conn: Conn,
    is_finished: bool,
}

impl SlowCall {
    fn new(application: Application, conn: Conn) -> Self {
        application.state().running += 1;
        SlowCall { application, conn, is_finished: false }
    }

    async fn wait(&self, clock: &Clock, wait: u16) {
        let until = clock.now() + millis(wait.into());
        let by = number(&self.conn);
        self.application.record(self.conn.server(), Event::Waits { by, until });
        clock.sleep(millis(wait.into())).await;
    }
}

impl Drop for SlowCall {
    fn drop(&mut self) {
        let by = number(&self.conn);
        let mut state = self.application.state();
        state.running -= 1;
        if !self.is_finished {
            state.log.push(Event::Dropped { by });
        }
    }
}

/// A call to `authorize_async` that is pending.
struct Authorizing(Application);

impl Authorizing {
    fn new(application: Application) -> Self {
        application.state().authorizing += 1;
        Authorizing(application)
    }
}

impl Drop for Authorizing {
    fn drop(&mut self) {
        self.0.state().authorizing -= 1;
    }
}

pub fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// Returns the id number of a connection, or `u16::MAX` if its id is unknown.
fn number(conn: &Conn) -> u16 {
    id_number(conn.id().as_str().as_bytes()).unwrap_or(u16::MAX)
}

/// Returns the text of the id with this number.
pub fn text(id: u16) -> &'static str {
    &identity(id).text
}
