//! Tests JSON payloads (feature `json`), read and written by synchronous and asynchronous handlers.

use std::sync::{Arc, Mutex};

use roomer_engine::json;

use super::test_server::TestServer;

#[test]
fn handlers_read_and_write_json() {
    let test = TestServer::with(|builder| {
        builder
            .on("add", |conn, message| {
                let (a, b): (i32, i32) = message.json()?;
                conn.send_to_client(message.src, "sum", &json(&(a + b))?);
                Ok(())
            })
            .on_async("greet", |conn, message| async move {
                let name: &str = message.json()?;
                conn.send_to_client(message.src, "hello", &json(&["hello", name])?);
                Ok(())
            })
    });
    let mut a = test.client();
    let id = a.id.clone();
    a.send_to_room("root", "add", b"[2, 40]");
    a.expect("root", "sum", &id, &id, b"42");
    a.send_to_room("root", "greet", br#""ann""#);
    a.expect("root", "hello", &id, &id, br#"["hello","ann"]"#);
}

#[test]
fn invalid_json_is_reported_and_connection_stays_open() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = reports.clone();
    let test = TestServer::with(|builder| {
        builder
            .on("add", |_, message| {
                let _: (i32, i32) = message.json()?;
                Ok(())
            })
            .on_async("greet", |_, message| async move {
                let _: String = message.json()?;
                Ok(())
            })
            .on_error(move |_, _, error| log.lock().unwrap().push(error.to_string()))
    });
    let mut a = test.client();
    a.send_to_room("root", "add", b"[2, forty]");
    a.send_to_room("root", "greet", b"7");
    a.expect_nothing();
    let reports = reports.lock().unwrap();
    let [add, greet] = &reports[..] else { panic!("{reports:?}") };
    assert!(add.contains("payload") && add.contains("line 1 column"), "{add}");
    assert!(greet.contains("invalid type: integer `7`, expected a string"), "{greet}");
    assert_eq!(test.server.stats().handler_errors, 2);
}
