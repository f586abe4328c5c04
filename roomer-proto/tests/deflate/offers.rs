//! Compression offers that a server accepts or declines, and its responses.
//!
//! RFC 7692 sections 5.1 and 7.1 define them.

use proptest::prelude::*;
use roomer_proto::websocket::deflate::{Agreement, OFFER};

const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn answer(lines: &[&str]) -> Option<String> {
    let agreement = Agreement::accept(lines.iter().map(|line| line.as_bytes()));
    agreement.map(|agreement| agreement.to_string())
}

#[test]
fn common_offers_are_accepted_without_context_takeover() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits", // Chromium, Firefox, Node's ws
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=\"10\"",
        "permessage-deflate;client_max_window_bits =\t10 ; server_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
        OFFER,
    ] {
        assert_eq!(answer(&[offer]).as_deref(), Some(PLAIN), "{offer}");
    }
    assert_eq!(answer(&["foo", "permessage-deflate"]).as_deref(), Some(PLAIN), "two lines");
}

#[test]
fn server_max_window_bits_is_confirmed() {
    for bits in 8..=15 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        let agreement = Agreement::accept([offer.as_bytes()]).unwrap();
        assert_eq!(agreement.to_string(), format!("{PLAIN}; server_max_window_bits={bits}"));
        assert_eq!(agreement.has_full_window(), bits == 15);
    }
    assert!(Agreement::accept([&b"permessage-deflate"[..]]).unwrap().has_full_window());
}

#[test]
fn each_wrong_parameter_declines_its_offer() {
    for params in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"\"",
        "client_no_context_takeover=true",
        "server_max_window_bits",
        "server_max_window_bits=",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=-9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=1e1",
        "server_max_window_bits=4294967305",
        "server_max_window_bits=\"9",
        "server_max_window_bits=\" 9\"",
        "server_max_window_bits=9 10",
        "client_max_window_bits=0",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=015",
        "client_max_window_bits=\"\"",
        "client_max_window_bits=x",
        "client_no_context_takeover; client_no_context_takeover",
        "server_no_context_takeover; server_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits=10",
        "Server_No_Context_Takeover",
        "",
        ";",
        "=10",
    ] {
        let offer = format!("permessage-deflate; {params}");
        assert_eq!(answer(&[&offer]), None, "{offer}");
        // A client may repeat the extension with parameters that more servers support.
        if !params.contains('"') && !params.ends_with([';', '=']) && !params.is_empty() {
            let with_fallback = format!("{offer}, permessage-deflate");
            let accepted = answer(&[&with_fallback]);
            let is_syntax = !params.contains(' ') || params.contains("; ");
            let expected = (is_syntax && !params.starts_with('=')).then_some(PLAIN);
            assert_eq!(accepted.as_deref(), expected, "{with_fallback}");
        }
        assert_eq!(answer(&[&offer, "permessage-deflate"]).as_deref(), Some(PLAIN), "{offer}");
    }
}

#[test]
fn first_acceptable_offer_is_accepted() {
    let offers = "permessage-deflate; server_max_window_bits=7, \
                  permessage-deflate; server_max_window_bits=12, permessage-deflate";
    let expected = format!("{PLAIN}; server_max_window_bits=12");
    assert_eq!(answer(&[offers]), Some(expected));
}

#[test]
fn other_extensions_are_declined() {
    for line in [
        "",
        ",",
        "permessage-deflat",
        "permessage-deflate2",
        "permessage deflate",
        "PERMESSAGE-DEFLATE",
        "\"permessage-deflate\"",
        "permessage-deflate=1",
        "permessage-deflate/1",
        "foo; x=\"permessage-deflate",
        "foo; x=\", permessage-deflate\"",
        "foo; x=\"a\\",
        "per\u{e4}",
    ] {
        assert_eq!(answer(&[line]), None, "{line}");
    }
    assert_eq!(Agreement::accept([&b"permessage-deflate; \xff"[..]]), None);
    assert_eq!(Agreement::accept([]), None);
}

#[test]
fn offers_with_empty_elements_and_quoted_commas_are_found() {
    for line in
        [", ,permessage-deflate,", "permessage-deflate ,", "x; y=\"ab\", permessage-deflate"]
    {
        assert_eq!(answer(&[line]).as_deref(), Some(PLAIN), "{line}");
    }
}

proptest! {
    #[test]
    fn arbitrary_offers_get_valid_answers(
        line in "(permessage-deflate|x|;|,|=| |\"|\\\\|[a-z_]*_no_context_takeover|server_max_window_bits|client_max_window_bits|[0-9]{1,2}){0,12}",
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let _ = Agreement::accept([&bytes[..]]);
        if let Some(answer) = answer(&[&line]) {
            prop_assert!(answer.starts_with(PLAIN));
            prop_assert!(line.contains("permessage-deflate"));
            let limit = answer.split_once("bits=").map(|(_, bits)| bits);
            prop_assert!(limit.is_none_or(|bits| line.contains(bits)));
        }
    }
}
