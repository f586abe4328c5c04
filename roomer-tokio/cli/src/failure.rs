//! The failures of commands, and their exit codes.

use std::io;
use std::process::ExitCode;

use roomer_tokio::client::{Closing, Failure as Lost, JoinError, RequestError, SendError};

/// The reason why a command fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request has failed: the server or another client has rejected it, or the network has
    /// failed.
    #[error("{0}")]
    Refused(String),
    /// The command line or the input is invalid.
    #[error("{0}")]
    Input(String),
    /// The server cannot be reached.
    #[error("{0}")]
    NoConnection(String),
    #[error("{0}")]
    TimedOut(String),
    /// A server's configuration has one or more errors.
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// The exit codes, as listed in `roomer --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the server rejected it or removed the client from the room, the request failed, a message may
     be lost, or the output cannot be written
  2  wrong arguments or input
  3  no connection to the server, or the server closed it for good
  4  no answer in time
bench: 1 if the server broke a guarantee, 2 if the measurement was not possible";

/// Returns an address without its login and its query, which may contain tokens: errors end in logs.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + "://".len()),
        None => ("", url),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}{path}")
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Refused(_) | Failure::Output(_) => 1,
            Failure::Input(_) | Failure::Config(_) => 2,
            Failure::NoConnection(_) => 3,
            Failure::TimedOut(_) => 4,
        })
    }

    /// Returns the failure for a connection that could not be opened, or that was lost.
    pub(crate) fn lost(url: &str, failure: &Lost) -> Failure {
        // Give a hint only if another command line may remove the cause.
        let hint = match failure {
            Lost::Rejected { status: 401 } => {
                ": the server requires valid credentials (--token, --header)"
            }
            Lost::Rejected { status: 403 } => {
                ": the credentials (--token, --header) or the origin (--header 'Origin: …') are not accepted"
            }
            // A web server answers the upgrade request like any other.
            Lost::Rejected { status: 200..=399 | 404 | 405 } => {
                ": this is not the path of a room server, which is often /ws"
            }
            _ => "",
        };
        let text = format!("{}: {failure}{hint}", shown(url));
        match failure {
            Lost::Timeout => Failure::TimedOut(text),
            _ => Failure::NoConnection(text),
        }
    }

    pub(crate) fn closed(url: &str, closing: &Closing) -> Failure {
        match closing {
            Closing::Final(failure) | Closing::GaveUp(failure) => Failure::lost(url, failure),
            other => Failure::NoConnection(format!("{}: {other}", shown(url))),
        }
    }

    pub(crate) fn removed(room: &str) -> Failure {
        Failure::Refused(format!("the server has removed this client from the room {room:?}"))
    }

    pub(crate) fn join(room: &str, error: JoinError) -> Failure {
        Failure::Refused(format!("room {room:?}: {error}"))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::TimedOut => {
                Failure::TimedOut("no answer in time: the request is not answered".into())
            }
            RequestError::NotSent(error @ (SendError::TooLarge | SendError::Reserved)) => {
                Failure::Input(error.to_string())
            }
            error => Failure::Refused(error.to_string()),
        }
    }
}
