//! Tests that tokens are in neither the log of `roomer serve` nor the output of the command line.
#![cfg(unix)]

use serde_json::json;

use crate::support::tokens::{SECRET, Signer, now};
use crate::support::{Serving, TempFile, handshake, run};

/// Checks that none of these tokens, in any form, is in a text.
#[track_caller]
fn contains_no_token(text: &str, tokens: &[String]) {
    for token in tokens {
        let encoded = data_encoding::BASE64URL_NOPAD.encode(token.as_bytes());
        // A part of a token is as secret as the whole.
        for part in [&token[token.len() - 20..], &encoded[encoded.len() - 20..]] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
    }
}

#[test]
fn tokens_are_neither_logged_nor_in_errors() {
    let secret = TempFile::new("secret", SECRET);
    let mut serving = Serving::start(&["--jwt-secret", secret.path(), "--log-level", "debug"]);
    let claims = json!({ "exp": now(600), "sub": "ann" });
    let good = Signer::secret().token(&claims);
    let wrong = Signer::Secret(vec![b'x'; 32]).token(&claims);
    let tokens = [good, wrong];
    for (token, status) in tokens.iter().zip([101, 401]) {
        let encoded = data_encoding::BASE64URL_NOPAD.encode(token.as_bytes());
        for (query, header) in [
            (format!("?token={token}"), String::new()),
            (String::new(), format!("Authorization: Bearer {token}\r\n")),
            (String::new(), format!("Sec-WebSocket-Protocol: roomer, token.{encoded}\r\n")),
        ] {
            assert_eq!(handshake(&serving, &query, &header).0, status, "{query} {header}");
        }
    }

    // The command line's errors must not contain them either: they end in the logs of CI systems.
    let url = serving.url.clone();
    for token in &tokens {
        let with_token = format!("{url}?token={token}");
        let bearer = format!("Authorization: Bearer {token}");
        let unusable = [
            format!("{}?token={token}", url.replace("/ws", "/other")),
            format!("ws://127.0.0.1:1/ws?token={token}"),
            format!("http+ws://127.0.0.1/ws?token={token}"),
            format!("ws://ann:{token}@127.0.0.1/ws"),
            format!("127.0.0.1/ws?token={token}"),
        ];
        for args in [&[&*with_token][..], &[&url, "--token", token], &[&url, "--header", &bearer]] {
            let done = run(&[&["send", args[0], "hall", "chat", "hello"], &args[1..]].concat());
            assert_eq!(done.status.success(), *token == tokens[0], "{done:?}");
            contains_no_token(&format!("{done:?}"), &tokens);
        }
        for address in &unusable {
            let done = run(&["members", address, "hall"]);
            assert!(!done.status.success());
            contains_no_token(&format!("{done:?}"), &tokens);
        }
        for header in [format!("Authorization Bearer {token}"), format!("Host: {token}")] {
            let done = run(&["members", &url, "hall", "--header", &header]);
            assert!(!done.status.success());
            contains_no_token(&format!("{done:?}"), &tokens);
        }
    }
    serving.signal(rustix::process::Signal::TERM);
    let log = serving.rest_of_log();
    assert!(log.contains("handshake rejected"), "{log}");
    contains_no_token(&log, &tokens);
}
