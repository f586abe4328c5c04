//! The table of close codes must be the same as in `close-codes.json`, which other languages use.

use roomer_proto::close::{self, Close, Fault, Sender, TABLE, Wait};
use serde_json::{Value, json};

fn row(close: &Close) -> Value {
    let mut row = json!({
        "code": close.code,
        "sender": match close.sender {
            Sender::Server => "server",
            Sender::Application => "application",
            Sender::Client => "client",
            Sender::Proxy => "proxy",
            Sender::Browser => "browser",
            sender => panic!("{sender:?} has no name in close-codes.json"),
        },
        "fault": match close.fault {
            Fault::Client => "client",
            Fault::Server => "server",
            Fault::Environment => "environment",
            Fault::Application => "application",
            fault => panic!("{fault:?} has no name in close-codes.json"),
        },
        "final": close.is_final(),
        "means": close.means,
    });
    if close.last != close.code {
        row["last"] = close.last.into();
    }
    if let Some(reason) = close.reason {
        row["reason"] = reason.into();
    }
    if close.relogin {
        row["relogin"] = true.into();
    }
    if let Some(wait) = close.wait {
        row["wait"] = match wait {
            Wait::Normal => "normal",
            Wait::Slow => "slow",
            wait => panic!("{wait:?} has no name in close-codes.json"),
        }
        .into();
    }
    row
}

#[test]
fn table_equals_json_file() {
    let json: Vec<Value> = serde_json::from_str(include_str!("../close-codes.json")).unwrap();
    let rust: Vec<Value> = TABLE.iter().map(row).collect();
    assert_eq!(rust, json);
}

#[test]
fn only_client_faults_and_application_closes_are_final() {
    for close in TABLE.iter().filter(|close| close.is_final()) {
        let is_word = close.fault == Fault::Application && close.sender == Sender::Application;
        assert!(is_word || close.fault == Fault::Client, "{close:?}");
    }
}

#[test]
fn each_row_is_found() {
    for close in TABLE {
        for code in [close.code, close.last] {
            let reason = close.reason.unwrap_or("a reason that has no row of its own");
            assert_eq!(close::find(code, reason), Some(close));
        }
    }
    assert_eq!(close::find(1004, ""), None);
    assert_eq!(close::find(2999, ""), None);
    assert_eq!(close::find(5000, ""), None);
}

#[test]
fn each_server_reason_fits_into_close_frame() {
    for close in TABLE.iter().filter(|close| close.sender == Sender::Server) {
        let (code, reason) = close.frame();
        assert!(reason.len() <= 123, "{reason}");
        assert!(matches!(code, 1000..=1003 | 1007..=1014), "{code} is not for the wire");
    }
}
