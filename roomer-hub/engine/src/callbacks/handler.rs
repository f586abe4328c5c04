//! Application functions that run for a client's message: handlers and rules.

use roomer_hub::Permission;

use crate::app::call::{BoxFuture, HandlerPanic, HandlerResult, catch_panic};
use crate::app::message::{Message, OwnedMessage};
use crate::app::reply::ReplyResult;
use crate::server::conn::Conn;

/// An application function that runs for a message.
pub(crate) enum Callback<T> {
    Sync(SyncFn<T>),
    Async(AsyncFn<T>),
}

type SyncFn<T> = Box<dyn Fn(&Conn, &Message<'_>) -> T + Send + Sync>;
type AsyncFn<T> = Box<dyn Fn(Conn, OwnedMessage) -> BoxFuture<T> + Send + Sync>;

pub(crate) type Handler = Callback<HandlerResult>;
pub(crate) type RequestHandler = Callback<ReplyResult>;
pub(crate) type Rule = Callback<bool>;

/// The result of starting a [`Callback`].
pub(crate) enum CallResult<T> {
    Done(T),
    /// A future to poll, and the message, which is needed when the future completes.
    Pending(BoxFuture<T>, OwnedMessage),
    Panicked(HandlerPanic),
}

impl<T> Callback<T> {
    /// Runs a synchronous function, or creates the future of an asynchronous one.
    pub(crate) fn run(&self, conn: &Conn, message: &Message<'_>) -> CallResult<T> {
        match self {
            Callback::Sync(run) => match catch_panic(|| run(conn, message)) {
                Ok(result) => CallResult::Done(result),
                Err(panic) => CallResult::Panicked(panic),
            },
            Callback::Async(run) => {
                let message = message.to_owned();
                // Keep a clone of the message to report the result. It shares the names and the
                // payload.
                match catch_panic(|| run(conn.clone(), message.clone())) {
                    Ok(future) => CallResult::Pending(future, message),
                    Err(panic) => CallResult::Panicked(panic),
                }
            }
        }
    }
}

/// The application's rules for clients' packets.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) join: Option<Rule>,
    /// The rule for history requests. The engine calls it directly instead of in response to a hub
    /// action, since the engine itself removes a denied request from the join.
    pub(crate) read_history: Option<Rule>,
    pub(crate) publish: Option<Rule>,
    pub(crate) direct: Option<Rule>,
    pub(crate) info: Option<Rule>,
}

impl Rules {
    pub(crate) fn rule(&self, permission: Permission) -> Option<&Rule> {
        match permission {
            Permission::Join => self.join.as_ref(),
            Permission::Publish => self.publish.as_ref(),
            Permission::Direct => self.direct.as_ref(),
            Permission::Info => self.info.as_ref(),
        }
    }
}
