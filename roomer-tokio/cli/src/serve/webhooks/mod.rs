//! Webhooks: HTTP requests that ask other services for decisions, and that send them events.
//!
//! | file | contents |
//! |---|---|
//! | `call` | signed requests, whose time and answers are limited |
//! | `secret` | the signatures of requests |
//! | `authorize`, `may_join` | requests, and the decisions in their answers |
//! | `availability` | whether the webhook for joins is down |
//! | `events` | the queue of events, and their delivery |
//! | `metrics` | counters |

mod authorize;
mod availability;
mod call;
mod events;
mod may_join;
mod metrics;
mod secret;

use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderName;

use self::authorize::Authorize;
use self::call::Call;
pub(crate) use self::events::Events;
use self::may_join::MayJoin;
use self::secret::Secret;
use crate::serve::config::Config;
use crate::serve::config::options::EventKind;
use crate::serve::config::setting::Setting as _;
use crate::serve::config::values::Problem;
use crate::serve::fetch::{Fetcher, parse_address};
use crate::serve::login;
use crate::serve::login::claims::Reader;
use crate::serve::replaceable::Replacement;
use crate::serve::rights::Rules;

/// The webhooks that are configured.
#[derive(Clone, Default)]
pub(crate) struct Webhooks {
    secret: Option<Arc<Secret>>,
    pub(crate) authorize: Option<Arc<Authorize>>,
    pub(crate) may_join: Option<MayJoin>,
    pub(crate) events: Option<Arc<Events>>,
}

impl Webhooks {
    /// Checks the options, and reads the secret.
    pub(crate) fn new(config: &Config, rules: &Rules) -> Result<Webhooks, Problem> {
        let options = &config.options;
        let keys = [
            ("webhooks.authorize", &options.webhooks_authorize),
            ("webhooks.may_join", &options.webhooks_may_join),
            ("webhooks.events", &options.webhooks_events),
        ];
        let Some((first, _)) = keys.iter().find(|(_, address)| address.is_some()) else {
            return match options.webhooks_secret {
                None => Ok(Webhooks::default()),
                Some(_) => Err(config.problem(
                    "webhooks.secret",
                    "signs nothing: write webhooks.authorize, webhooks.may_join or webhooks.events",
                )),
            };
        };
        // Without a signature, the service could not tell the server's requests from forged ones.
        let Some(path) = &options.webhooks_secret else {
            let text = "needs webhooks.secret: write the path of a file with 32 bytes or more";
            return Err(config.problem(first, text));
        };
        if options.webhooks_authorize.is_some() && login::is_configured(options) {
            let text = "the tokens of [jwt] decide which clients connect: remove one of the two";
            return Err(config.problem("webhooks.authorize", text));
        }
        check_numbers(config)?;
        let secret = Secret::read(path).map_err(|text| config.problem("webhooks.secret", text))?;
        let secret = Arc::new(secret);
        let fetcher = Fetcher::new().map_err(|text| config.problem(first, text))?;
        // All webhooks share the fetcher, which has a pool of connections.
        let fetcher = Arc::new(fetcher);
        let call = |name: &'static str, key: &str, address: &Option<String>| match address {
            Some(address) => {
                let address = check_address(address, options.webhooks_plain_http)
                    .map_err(|text| config.problem(key, text))?;
                let call = Call::new(name, address, secret.clone(), fetcher.clone(), options);
                Ok(Some(Arc::new(call)))
            }
            None => Ok(None),
        };
        let [authorize, may_join, events] = keys;
        let authorize = call("authorize", authorize.0, authorize.1)?;
        let may_join = call("may_join", may_join.0, may_join.1)?;
        let events = call("events", events.0, events.1)?;
        let headers = header_names(config)?;
        let rooms: Arc<[_]> = options.webhooks_rooms.clone().into();
        Ok(Webhooks {
            secret: Some(secret),
            authorize: authorize.map(|call| {
                Arc::new(Authorize::new(call, headers, Reader::new(config, rules.clone())))
            }),
            may_join: may_join.map(|call| MayJoin::new(call, rooms.clone())),
            events: match events {
                Some(call) => {
                    let events = Events::new(call, rooms, options);
                    let events = events.map_err(|text| config.problem("webhooks.events", text))?;
                    Some(Arc::new(events))
                }
                None => None,
            },
        })
    }

    /// Prepares to replace the secret with that of another configuration, if both have one.
    pub(crate) fn adopt(&self, new: &Webhooks) -> Option<Replacement<'_>> {
        Some(self.secret.as_ref()?.adopt(new.secret.as_ref()?))
    }
}

/// Checks the URL of a webhook. The answers are trusted, and the requests contain tokens.
fn check_address(address: &str, permits_plain: bool) -> Result<Uri, String> {
    if address.contains('@') {
        // The URL may contain a password, so the error must not repeat it.
        return Err("has a login, which is not sent: the signature identifies this server".into());
    }
    match parse_address(address)? {
        (uri, is_protected) if is_protected || permits_plain => Ok(uri),
        _ => Err(format!(
            "{address:?} can be read and changed in transit: write https://, or \
             webhooks.plain_http = true"
        )),
    }
}

fn check_numbers(config: &Config) -> Result<(), Problem> {
    let options = &config.options;
    let numbers = [
        ("webhooks.concurrency", options.webhooks_concurrency),
        ("webhooks.queue", options.webhooks_queue),
        ("webhooks.batch", options.webhooks_batch),
    ];
    match numbers.iter().find(|(_, number)| *number == 0) {
        Some((key, _)) => Err(config.problem(key, "must not be 0")),
        None if options.webhooks_events.is_some() && options.webhooks_kinds.is_empty() => {
            let text =
                format!("is empty, so webhooks.events gets nothing: write {}", EventKind::FORM);
            Err(config.problem("webhooks.kinds", text))
        }
        None if options.webhooks_timeout.is_zero() => {
            Err(config.problem("webhooks.timeout", "must not be 0"))
        }
        None => Ok(()),
    }
}

fn header_names(config: &Config) -> Result<Vec<HeaderName>, Problem> {
    let name = |name: &String| {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let text = format!("{name:?} is not the name of a header: write a name such as Cookie");
            config.problem("webhooks.headers", text)
        })
    };
    config.options.webhooks_headers.iter().map(name).collect()
}
