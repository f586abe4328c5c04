//! Close frames: codes, reasons, and bytes that follow them.

use roomer_proto::websocket::{Decoder, Limits, Violation, code, valid_close_code};

use super::wire::*;

fn body(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// Returns true for the codes that a close frame may contain, according to RFC 6455 section 7.4 and
/// the IANA registry.
fn is_valid_code(code: u16) -> bool {
    (1000..=1003).contains(&code) || (1007..=1014).contains(&code) || (3000..=4999).contains(&code)
}

#[test]
fn each_close_code_is_accepted_or_rejected() {
    let mut allowed = 0;
    for code in 0..=u16::MAX {
        let expected = if is_valid_code(code) {
            allowed += 1;
            Seen::Close(Some(code), String::new())
        } else {
            Seen::Rejected(1002, "close code must not be sent")
        };
        assert_eq!(read(&frame(CLOSE, &body(code, b""))), [expected]);
        assert_eq!(valid_close_code(code), is_valid_code(code), "{code}");
    }
    assert_eq!(allowed, 4 + 8 + 2000);
}

#[test]
fn codes_of_server_are_valid_on_wire() {
    let ours = [
        code::NORMAL,
        code::GOING_AWAY,
        code::PROTOCOL,
        code::UNSUPPORTED,
        code::INVALID_PAYLOAD,
        code::POLICY,
        code::TOO_BIG,
        code::INTERNAL,
        code::TRY_AGAIN_LATER,
    ];
    assert_eq!(ours, [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013]);
    assert!(ours.into_iter().all(valid_close_code));
}

#[test]
fn close_without_body() {
    assert_eq!(read(&frame(CLOSE, b"")), [Seen::Close(None, String::new())]);
}

#[test]
fn truncated_close_code() {
    for byte in [0, 3, 0xff] {
        assert_eq!(
            read(&frame(CLOSE, &[byte])),
            [Seen::Rejected(1002, "close frame with half a code")]
        );
    }
}

#[test]
fn reasons_of_every_length() {
    for length in 0..=123 {
        let reason = "r".repeat(length);
        assert_eq!(
            read(&frame(CLOSE, &body(1000, reason.as_bytes()))),
            [Seen::Close(Some(1000), reason)]
        );
    }
    let reason = "до свидания 🏠";
    assert_eq!(
        read(&frame(CLOSE, &body(4999, reason.as_bytes()))),
        [Seen::Close(Some(4999), reason.to_owned())]
    );
}

#[test]
fn reason_that_is_not_utf8() {
    for reason in [&b"\xff"[..], b"bye \xf0\x9f\x8f", b"\xed\xa0\x80"] {
        assert_eq!(
            read(&frame(CLOSE, &body(1000, reason))),
            [Seen::Rejected(1007, "close reason is not UTF-8")]
        );
    }
}

#[test]
fn bytes_after_close_are_ignored() {
    let close = frame(CLOSE, &body(1001, b"bye"));
    let closed = [Seen::Close(Some(1001), "bye".to_owned())];
    let behind = [frame(FIN | BINARY, b"message"), frame(CLOSE, b""), b"\xff\xff garbage".to_vec()];
    for behind in behind {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let wire = [&close[..], &behind].concat();
        assert_eq!(feed(&mut decoder, &limits, &wire), closed);
        assert!(decoder.is_over());
        assert_eq!(feed(&mut decoder, &limits, &behind), []);
        assert_eq!(decoder.held(), 0, "what is not looked at is not kept");
    }
}

#[test]
fn close_ends_fragmented_message() {
    let wire = [frame(BINARY, b"half"), frame(CLOSE, b""), frame(FIN | CONTINUE, b"half")].concat();
    assert_eq!(read(&wire), [Seen::Close(None, String::new())]);
}

#[test]
fn session_is_open_until_close_or_violation() {
    let (limits, mut decoder) = (Limits::default(), Decoder::new());
    let close = frame(CLOSE, &body(1000, b""));
    let (most, last) = close.split_at(close.len() - 1);
    assert_eq!(feed(&mut decoder, &limits, most), []);
    assert!(!decoder.is_over());
    assert_eq!(feed(&mut decoder, &limits, last), [Seen::Close(Some(1000), String::new())]);
    assert!(decoder.is_over());
}

/// A driver must respond differently to a close frame and to a violation.
#[test]
fn only_valid_close_counts_as_closed_by_peer() {
    let endings = [
        (frame(CLOSE, b""), true),
        (frame(CLOSE, &body(1000, b"bye")), true),
        (frame(CLOSE, &body(1005, b"")), false),
        (frame(CLOSE, b"x"), false),
        (frame(FIN | 3, b""), false),
    ];
    for (ending, closed) in endings {
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        feed(&mut decoder, &limits, &frame(FIN | BINARY, b"before"));
        assert!(!decoder.is_closed_by_peer());
        feed(&mut decoder, &limits, &ending);
        assert!(decoder.is_over());
        assert_eq!(decoder.is_closed_by_peer(), closed, "{ending:x?}");
    }
}

#[test]
fn violation_text_contains_code() {
    let violation = Violation { code: 1002, reason: "because" };
    assert_eq!(violation.to_string(), "because (close 1002)");
}
