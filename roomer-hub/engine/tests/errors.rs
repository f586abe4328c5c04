//! Errors that an application's `main` may return, which the standard library prints with `Debug`.

use std::error::Error;
use std::io;

use roomer_engine::cluster::BrokerAddress;
use roomer_engine::{BindError, Info, RequestError, Server};

/// Checks that a program ends with the error's sentence, and not with the names of its variants and
/// fields.
fn check(error: impl Error) {
    let (debug, display) = (format!("{error:?}"), error.to_string());
    assert_eq!(debug, display);
    assert!(display.contains(' '), "{display:?} is not a sentence");
}

#[test]
fn errors_of_main_are_printed_as_sentences() {
    check("broker:4222".parse::<BrokerAddress>().unwrap_err());
    check(Server::builder().max_rooms(0).build().unwrap_err());
    check(Server::builder().on("open", |_, _| {}).build().unwrap_err());
    check(BindError::new("[::]:80", io::ErrorKind::AddrInUse.into()));
    check(RequestError::TimedOut);
    let server = Server::builder().max_info(3).build().unwrap();
    check(server.set_info("ann", Info::new("[1, 2]").unwrap()).unwrap_err());
    #[cfg(feature = "tls")]
    check(roomer_engine::tls::tls_config("no.pem", "no.key").unwrap_err());
}
