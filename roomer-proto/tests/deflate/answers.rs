//! Responses to an offer: which ones a client accepts.

use roomer_proto::websocket::deflate::{Agreement, OFFER, WrongAnswer};

fn confirm(lines: &[&str]) -> Result<Option<Agreement>, WrongAnswer> {
    Agreement::confirm(lines.iter().map(|line| line.as_bytes()))
}

#[test]
fn server_accepts_or_declines() {
    let accepted = Agreement::accept([OFFER.as_bytes()]).unwrap();
    assert_eq!(confirm(&[&accepted.to_string()]), Ok(Some(accepted)));
    let other_order = "permessage-deflate;client_no_context_takeover;server_no_context_takeover";
    assert_eq!(confirm(&[other_order]), Ok(Some(accepted)));
    assert!(confirm(&[&format!("{OFFER}; server_max_window_bits=10")]).unwrap().is_some());
    assert_eq!(confirm(&[]), Ok(None));
    assert_eq!(confirm(&["", " "]), Ok(None));
}

#[test]
fn invalid_answer_fails_connection() {
    for answer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-bzip2",
        "x",
        ",",
        &format!("{OFFER}; server_max_window_bits"),
        &format!("{OFFER}; server_max_window_bits=16"),
        // The parameters or extensions below were not offered, or occur twice.
        &format!("{OFFER}; client_max_window_bits"),
        &format!("{OFFER}; client_max_window_bits=15"),
        &format!("{OFFER}; unknown"),
        &format!("{OFFER}; server_no_context_takeover"),
        &format!("{OFFER}, {OFFER}"),
        &format!("{OFFER}, x"),
        &format!("{OFFER}, \""),
        &format!("{OFFER} x"),
    ] {
        assert_eq!(confirm(&[answer]), Err(WrongAnswer), "{answer}");
    }
    assert_eq!(confirm(&[OFFER, OFFER]), Err(WrongAnswer));
    assert_eq!(confirm(&["x", OFFER]), Err(WrongAnswer));
}
