//! Tests that the order in which two of the builder's methods are called does not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use roomer_hub::{History, Presence};

use crate::app::claims::Claims;
use crate::builder::{BuildError, Builder};
use crate::callbacks::handler::{Callback, Rules};
use crate::callbacks::hooks::Hooks;
use crate::cluster::Cluster;
use crate::env::SystemEnvironment;
use crate::handshake::options::{Authorize, HandshakeOptions};
use crate::options::Options;

type Method = (&'static str, fn(Builder) -> Builder);

const SECOND: Duration = Duration::from_secs(1);

/// All methods that change a builder, with values that differ from the defaults.
const METHODS: &[Method] = &[
    ("allow_origin", |builder| builder.allow_origin("https://a.example")),
    ("announce_away", |builder| builder.announce_away("a")),
    ("authorize", |builder| builder.authorize(|_| Ok(Claims::new()))),
    ("authorize_async", |builder| builder.authorize_async(async |_| Ok(Claims::new()))),
    ("byte_rate", |builder| builder.byte_rate(1, 1_000_000)),
    ("close_timeout", |builder| builder.close_timeout(SECOND)),
    ("cluster", |builder| builder.cluster(Cluster::named("a"))),
    ("coalesce", |builder| builder.coalesce(SECOND)),
    ("compat", |builder| builder.compat()),
    #[cfg(feature = "deflate")]
    ("deflate", |builder| builder.deflate("a", 1)),
    ("drain", |builder| builder.drain(SECOND, 1)),
    ("echo", |builder| builder.echo()),
    ("error_type", |builder| builder.error_type()),
    ("extended", |builder| builder.extended(true)),
    ("handshake_timeout", |builder| builder.handshake_timeout(SECOND)),
    ("health", |builder| builder.health("/live", "/ready")),
    ("history", |builder| builder.history("a", History::last(1))),
    ("info_rate", |builder| builder.info_rate(2, 2)),
    ("join_rate", |builder| builder.join_rate(1, 1)),
    ("max_backlog", |builder| builder.max_backlog(1 << 21)),
    ("max_connections", |builder| builder.max_connections(5)),
    ("max_connections_per_address", |builder| builder.max_connections_per_address(4)),
    ("max_connections_per_user", |builder| builder.max_connections_per_user(1)),
    ("max_detached_sessions", |builder| builder.max_detached_sessions(1)),
    ("max_fragments", |builder| builder.max_fragments(1, 1)),
    ("max_handshakes", |builder| builder.max_handshakes(5)),
    ("max_handshakes_per_address", |builder| builder.max_handshakes_per_address(4)),
    ("max_history", |builder| builder.max_history(1)),
    ("max_info", |builder| builder.max_info(1)),
    ("max_message", |builder| builder.max_message(1 << 20)),
    ("max_name", |builder| builder.max_name(1)),
    ("max_requests", |builder| builder.max_requests(1)),
    ("max_rooms", |builder| builder.max_rooms(1)),
    ("may_join", |builder| builder.may_join(|_, _| true)),
    ("may_join_async", |builder| builder.may_join_async(async |_, _| true)),
    ("may_publish", |builder| builder.may_publish(|_, _| true)),
    ("may_publish_async", |builder| builder.may_publish_async(async |_, _| true)),
    ("may_read_history", |builder| builder.may_read_history(|_, _| true)),
    ("may_send", |builder| builder.may_send(|_, _| true)),
    ("may_send_async", |builder| builder.may_send_async(async |_, _| true)),
    ("may_set_info", |builder| builder.may_set_info(|_, _| true)),
    ("may_set_info_async", |builder| builder.may_set_info_async(async |_, _| true)),
    ("memory_budget", |builder| builder.memory_budget(1 << 28)),
    ("message_rate", |builder| builder.message_rate(1, 1)),
    ("message_timeout", |builder| builder.message_timeout(SECOND)),
    ("on", |builder| builder.on("a", |_, _| ())),
    ("on_async", |builder| builder.on_async("b", async |_, _| ())),
    ("on_connect", |builder| builder.on_connect(|_| ())),
    ("on_disconnect", |builder| builder.on_disconnect(|_, _| ())),
    ("on_error", |builder| builder.on_error(|_, _, _| ())),
    ("on_gap", |builder| builder.on_gap(|_, _| ())),
    ("on_join", |builder| builder.on_join(|_, _| ())),
    ("on_leave", |builder| builder.on_leave(|_, _| ())),
    ("on_peer", |builder| builder.on_peer(|_, _| ())),
    ("on_request", |builder| builder.on_request("a", |_, _| "")),
    ("on_request_async", |builder| builder.on_request_async("b", async |_, _| "")),
    ("on_warning", |builder| builder.on_warning(|_| ())),
    ("page", |builder| builder.page("/", "text/plain", "")),
    ("path", |builder| builder.path("/a")),
    ("ping_interval", |builder| builder.ping_interval(SECOND)),
    ("pong_timeout", |builder| builder.pong_timeout(SECOND)),
    ("presence", |builder| builder.presence("a", Presence::Off)),
    ("proxy_protocol", |builder| builder.proxy_protocol()),
    ("renew_login", |builder| builder.renew_login(|_, _| Ok(Claims::new()))),
    ("renew_login_async", |builder| builder.renew_login_async(async |_, _| Ok(Claims::new()))),
    ("renew_login_before_expiry", |builder| builder.renew_login_before_expiry(SECOND)),
    ("resume_buffer", |builder| builder.resume_buffer(1)),
    ("resume_window", |builder| builder.resume_window(SECOND)),
    ("retry_window", |builder| builder.retry_window(SECOND)),
    ("shared_room_only", |builder| builder.shared_room_only()),
    ("state", |builder| builder.state(1)),
    ("subprotocol", |builder| builder.subprotocol("a")),
    ("trust_proxy", |builder| builder.trust_proxy("10.0.0.1")),
    ("unlimited_violations", |builder| builder.unlimited_violations()),
    ("violation_rate", |builder| builder.violation_rate(2, 2)),
    ("write_timeout", |builder| builder.write_timeout(SECOND)),
];

/// Methods not tested here: they create or consume the builder, or are for tests only.
const OTHERS: &[&str] = &["builder", "new", "build", "environment", "flush_sizes", "monitor"];

/// The only methods that contradict each other. The last call applies.
const CONTRADICTING: (&str, &str) = ("unlimited_violations", "violation_rate");

fn kind<T>(callback: Option<&Callback<T>>) -> &'static str {
    match callback {
        Some(Callback::Sync(_)) => "sync",
        Some(Callback::Async(_)) => "async",
        None => "none",
    }
}

/// Returns the resolved options as text. Destructures the builder so that the compiler reports a
/// missing field.
fn resolved(builder: Builder) -> String {
    // Set the budget, since its default depends on the machine.
    let mut builder = builder;
    builder.memory_budget.get_or_insert(1 << 30);
    builder.resolve_defaults(&SystemEnvironment::new());
    let Builder {
        config,
        options,
        handlers,
        request_handlers,
        presences,
        away_rooms,
        histories,
        max_history,
        error,
        ping_interval,
        max_handshakes_per_address,
        max_connections_per_address,
        memory_budget,
        extended: _,
        compat: _,
        env: _,
        error_type: _,
    } = builder;
    // Sort the handlers, since their order has no meaning.
    let handlers: BTreeMap<_, _> =
        handlers.iter().map(|(event, handler)| (event, kind(Some(handler)))).collect();
    let requests: BTreeMap<_, _> =
        request_handlers.iter().map(|(event, handler)| (event, kind(Some(handler)))).collect();
    let mut text = format!(
        "{config:?} {handlers:?} {requests:?} {presences:?} {away_rooms:?} {histories:?} \
         {max_history:?} {error:?} {ping_interval:?} {max_handshakes_per_address:?} \
         {max_connections_per_address:?} {memory_budget:?}"
    );
    describe(&options, &mut text);
    text
}

fn describe(options: &Options, text: &mut String) {
    let Options {
        handshake,
        max_connections_per_user,
        drain_policy,
        on_warning,
        on_peer,
        on_gap,
        on_error,
        state,
        rules,
        hooks,
        limits,
        accept_text,
        max_backlog,
        memory_budget,
        history_budget,
        ping_interval,
        pong_timeout,
        write_timeout,
        handshake_timeout,
        message_timeout,
        extended,
        hub_limits,
        resume_window,
        resume_buffer,
        max_detached_sessions,
        retry_window,
        renew_login,
        renew_login_before_expiry,
        close_timeout,
        coalesce,
        cluster,
        flush,
        echo,
        monitor,
    } = options;
    let HandshakeOptions {
        path,
        pages,
        health,
        admission,
        origins,
        proxies,
        proxy_protocol,
        authorize,
        subprotocols,
        chosen,
        max_head,
        max_headers,
        compression,
    } = handshake;
    let Rules { join, read_history, publish, direct, info } = rules;
    let rules = [join, read_history, publish, direct, info].map(|rule| kind(rule.as_ref()));
    let Hooks { connect, join, leave, disconnect } = hooks;
    let hooks = [connect.is_some(), join.is_some(), leave.is_some(), disconnect.is_some()];
    let reports = [on_warning.is_some(), on_peer.is_some(), on_gap.is_some(), on_error.is_some()];
    let authorize = authorize.as_ref().map(|hook| matches!(hook, Authorize::Sync(_)));
    let (state, renew_login) = (state.len(), kind(renew_login.as_ref()));
    write!(
        text,
        "{path:?} {pages:?} {health:?} {admission:?} {origins:?} {proxies:?} {proxy_protocol:?} \
         {authorize:?} {subprotocols:?} {chosen:?} {max_head} {max_headers} {compression:?} \
         {max_connections_per_user} {drain_policy:?} {reports:?} {state} {rules:?} {hooks:?} \
         {limits:?} {accept_text} {max_backlog} {memory_budget} {history_budget} {ping_interval:?} \
         {pong_timeout:?} {write_timeout:?} {handshake_timeout:?} {message_timeout:?} {extended} \
         {hub_limits:?} {resume_window:?} {resume_buffer} {max_detached_sessions} {retry_window:?} \
         {renew_login} {renew_login_before_expiry:?} {close_timeout:?} {coalesce:?} {cluster:?} {flush:?} \
         {echo} {monitor:?}"
    )
    .unwrap();
}

/// Returns true if `a` and `b` are the synchronous and the asynchronous form of one hook, which are
/// mutually exclusive.
fn are_exclusive(a: &str, b: &str) -> bool {
    let with_both =
        ["authorize", "may_join", "may_publish", "may_send", "may_set_info", "renew_login"];
    with_both.contains(&a) && b.strip_suffix("_async") == Some(a)
}

#[test]
fn builder_calls_commute() {
    for (index, (a, first)) in METHODS.iter().enumerate() {
        for (b, second) in &METHODS[index + 1..] {
            if are_exclusive(a, b) {
                let error = |builder: Builder| builder.build().expect_err(a);
                let expected = BuildError::Exclusive(a, b);
                assert_eq!(error(second(first(Builder::new()))), expected);
                assert_eq!(error(first(second(Builder::new()))), expected);
                continue;
            }
            let one = resolved(second(first(Builder::new())));
            let other = resolved(first(second(Builder::new())));
            if (*a, *b) == CONTRADICTING {
                assert_ne!(one, other);
            } else {
                assert_eq!(one, other, "{a}, {b}");
            }
        }
    }
}

#[test]
fn each_builder_method_has_effect() {
    let plain = resolved(Builder::new());
    // `error_type` changes only a type, `extended` repeats a default, and `max_history` limits the
    // histories, of which there are none.
    let silent = ["error_type", "extended", "max_history"];
    for (name, method) in METHODS.iter().filter(|(name, _)| !silent.contains(name)) {
        assert_ne!(resolved(method(Builder::new())), plain, "{name}");
    }
}

#[test]
fn list_contains_each_builder_method() {
    let files = [
        include_str!("admission.rs"),
        include_str!("application.rs"),
        include_str!("cluster.rs"),
        include_str!("deflate.rs"),
        include_str!("history.rs"),
        include_str!("info.rs"),
        include_str!("limits.rs"),
        include_str!("mod.rs"),
        include_str!("rates.rs"),
        include_str!("requests.rs"),
        include_str!("session.rs"),
        include_str!("timeouts.rs"),
    ];
    let methods = files.iter().flat_map(|file| file.split("\n    pub fn ").skip(1));
    let methods = methods.filter_map(|text| text.split(['<', '(']).next());
    let methods: BTreeSet<_> = methods.filter(|name| !OTHERS.contains(name)).collect();
    let listed: BTreeSet<_> = METHODS.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = methods.difference(&listed).collect();
    assert!(missing.is_empty() || (missing == [&"deflate"] && cfg!(not(feature = "deflate"))));
}
