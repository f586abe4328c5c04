//! Errors that an application's `main` may return, which the standard library prints with `Debug`.

use std::error::Error;

use roomer_proto::client::{Address, Closing, Failure, JoinError, RequestError, SendError};
use roomer_proto::cluster::{NodeId, Subjects};
use roomer_proto::extended::Info;
use roomer_proto::{ConnId, Field, Packet};

/// Checks that a program ends with the error's sentence, and not with the names of its variants and
/// fields.
fn check(error: impl Error) {
    let (debug, display) = (format!("{error:?}"), error.to_string());
    assert_eq!(debug, display);
    assert!(display.contains(' '), "{display:?} is not a sentence");
}

#[test]
fn errors_of_main_are_printed_as_sentences() {
    check(Packet::decode(vec![0; 3].into()).unwrap_err());
    check(roomer_proto::EncodeError { field: Field::Room, len: usize::MAX });
    check("7".parse::<ConnId>().unwrap_err());
    check("7".parse::<NodeId>().unwrap_err());
    check(Subjects::new("a b", NodeId(7)).unwrap_err());
    check(Info::new("{").unwrap_err());
    check("example.org".parse::<Address>().unwrap_err());
    check(Packet::default().json::<u8>().unwrap_err());

    let rejected = Failure::Rejected { status: 403 };
    check(rejected.clone());
    check(Failure::Closed { code: None, reason: "away".into() });
    check(Closing::Final(rejected.clone()));
    check(Closing::GaveUp(rejected));
    check(Closing::Application);
    check(SendError::NotJoined);
    check(JoinError::Refused);
    check(RequestError::TimedOut);
    check(RequestError::NotSent(SendError::Full));
}
