//! Clients' rights in rooms, according to the file's rules and the rights in the token.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use roomer_tokio::{Builder, Conn, Message};
use serde_json::{Map, Value};

use crate::serve::config::rooms::{Room, Who};
use crate::serve::config::setting::{Rate, Setting};
use crate::serve::webhooks::Webhooks;

/// A client action in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Join,
    Publish,
    Whisper,
    History,
}

/// The actions that are limited by rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Messages,
    Joins,
}

/// A room's name, or a name prefix followed by `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Pattern {
        match pattern.strip_suffix('*') {
            Some(prefix) => Pattern { text: prefix.into(), is_prefix: true },
            None => Pattern { text: pattern.into(), is_prefix: false },
        }
    }

    pub(crate) fn matches(&self, room: &str) -> bool {
        match self.is_prefix {
            true => room.starts_with(&self.text),
            false => room == self.text,
        }
    }
}

impl Setting for Pattern {
    const FORM: &str = "PATTERN";

    fn parse(text: &str) -> Result<Self, String> {
        let prefix = text.strip_suffix('*').unwrap_or(text);
        match text.is_empty() || prefix.contains('*') {
            true => Err(format!(
                "{text:?} is not a pattern: write a name, or the beginning of names and * at the end"
            )),
            false => Ok(Pattern::new(text)),
        }
    }
}

/// A token's rights by room. A client whose token grants none is restricted only by the rules.
#[derive(Clone, Debug)]
pub(crate) struct Grants(Arc<[(Pattern, Vec<Right>)]>);

impl Grants {
    /// Parses the claim: a list of patterns, each with all rights, or an object that maps patterns to
    /// rights.
    pub(crate) fn read(claim: &Value) -> Option<Grants> {
        const ALL: [Right; 4] = [Right::Join, Right::Publish, Right::Whisper, Right::History];
        // An invalid entry fails the login, since there is no telling what it was meant to
        // restrict.
        let grants: Option<Vec<_>> = match claim {
            Value::Array(patterns) => {
                let grant = |pattern: &Value| Some((Pattern::new(pattern.as_str()?), ALL.into()));
                patterns.iter().map(grant).collect()
            }
            Value::Object(rooms) => Self::of(rooms),
            _ => None,
        };
        grants.map(|grants| Grants(grants.into()))
    }

    fn of(rooms: &Map<String, Value>) -> Option<Vec<(Pattern, Vec<Right>)>> {
        let right = |name: &Value| match name.as_str()? {
            "join" => Some(Right::Join),
            "publish" => Some(Right::Publish),
            "whisper" => Some(Right::Whisper),
            "history" => Some(Right::History),
            _ => None,
        };
        let rights =
            |names: &Value| names.as_array()?.iter().map(right).collect::<Option<Vec<_>>>();
        rooms.iter().map(|(pattern, names)| Some((Pattern::new(pattern), rights(names)?))).collect()
    }

    fn has(&self, room: &str, right: Right) -> bool {
        self.0.iter().any(|(pattern, rights)| pattern.matches(room) && rights.contains(&right))
    }
}

/// The file's rules, in order. They may be replaced while the server runs.
#[derive(Clone)]
pub(crate) struct Rules {
    rules: Arc<RwLock<Vec<Rule>>>,
    /// True if there was a rate at startup; messages are counted only then.
    has_rates: bool,
}

struct Rule {
    pattern: Pattern,
    join: Option<Who>,
    publish: Option<Who>,
    whisper: Option<Who>,
    history: Option<Who>,
    /// The maximum rate of one client's messages to rooms that match the pattern.
    rate: Option<Rate>,
    /// The maximum rate at which one client joins these rooms.
    join_rate: Option<Rate>,
}

/// The actions that rules may deny. The fields have the names of the file's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denies {
    join: bool,
    publish: bool,
    whisper: bool,
    history: bool,
    rate: bool,
    join_rate: bool,
}

impl Denies {
    /// Returns the keys of the actions that these rules may deny, but those of `start` never do.
    pub(crate) fn beyond(self, start: Denies) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("[[room]] join", self.join && !start.join),
            ("[[room]] publish", self.publish && !start.publish),
            ("[[room]] whisper", self.whisper && !start.whisper),
            ("[[room]] history_for", self.history && !start.history),
            ("[[room]] rate", self.rate && !start.rate),
            ("[[room]] join_rate", self.join_rate && !start.join_rate),
        ];
        keys.into_iter().filter(|(_, is_beyond)| *is_beyond).map(|(key, _)| key)
    }
}

impl Rules {
    pub(crate) fn new<'a>(rooms: impl Iterator<Item = &'a Room>) -> Rules {
        let rules: Vec<_> = rooms.map(Rule::new).collect();
        let has_rates = rules.iter().any(|rule| rule.rate.is_some() || rule.join_rate.is_some());
        Rules { rules: Arc::new(RwLock::new(rules)), has_rates }
    }

    /// Replaces all rules. The state of a client's rates stays with the rule's position.
    pub(crate) fn replace<'a>(&self, rooms: impl Iterator<Item = &'a Room>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) =
            rooms.map(Rule::new).collect();
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Rule>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the actions that the rules may deny. With `has_login`, logins may also restrict
    /// clients; with `has_webhook`, so may the webhook for joins.
    pub(crate) fn denies(&self, has_login: bool, has_webhook: bool) -> Denies {
        let rules = self.read();
        let denies = |of: fn(&Rule) -> Option<Who>| {
            has_login || rules.iter().any(|rule| of(rule).is_some_and(|who| who != Who::All))
        };
        Denies {
            join: has_webhook || denies(|rule| rule.join),
            publish: denies(|rule| rule.publish),
            whisper: denies(|rule| rule.whisper),
            history: denies(|rule| rule.history),
            rate: rules.iter().any(|rule| rule.rate.is_some()),
            join_rate: rules.iter().any(|rule| rule.join_rate.is_some()),
        }
    }

    /// Adds the rules to a server. A rule that can never deny is omitted, since the server calls
    /// each rule for every message. With `has_login`, logins may also restrict clients. The
    /// webhooks allow or deny joins that all other rules permit, and receive message events.
    pub(crate) fn add(
        &self,
        mut builder: Builder,
        has_login: bool,
        webhooks: &Webhooks,
    ) -> Builder {
        let webhook = webhooks.may_join.clone();
        let told = webhooks.events.clone().filter(|events| events.has_messages());
        let denies = self.denies(has_login, webhook.is_some());
        if let Some(webhook) = webhook {
            let rules = self.clone();
            builder = builder.may_join_async(async move |conn, room| {
                // Check the rules first, since they need no request.
                rules.permit_join(&conn, &room) && webhook.permits(&conn, &room).await
            });
        } else if denies.join || denies.join_rate {
            let rules = self.clone();
            builder = builder.may_join(move |conn, room| rules.permit_join(conn, room));
        }
        if denies.history {
            let rules = self.clone();
            builder =
                builder.may_recall(move |conn, room| rules.permit(conn, room, Right::History));
        }
        if denies.publish || denies.rate || told.is_some() {
            let rules = self.clone();
            builder = builder.may_publish(move |conn, message| {
                // Check in this order so that a message that is denied anyway is not counted.
                let is_permitted = rules.permit(conn, message.room, Right::Publish)
                    && rules.is_in_time(conn, message.room, Counted::Messages);
                if is_permitted && let Some(events) = &told {
                    events.message(conn, message);
                }
                is_permitted
            });
        }
        if denies.whisper || denies.rate {
            let rules = self.clone();
            let is_limited = denies.whisper;
            builder = builder.may_send(move |conn, message| {
                (!is_limited || rules.permit_whisper(conn, message))
                    && rules.is_in_time(conn, message.room, Counted::Messages)
            });
        }
        builder
    }

    fn permit_join(&self, conn: &Conn, room: &str) -> bool {
        self.permit(conn, room, Right::Join) && self.is_in_time(conn, room, Counted::Joins)
    }

    fn permit(&self, conn: &Conn, room: &str, right: Right) -> bool {
        let grants = conn.extension::<Grants>();
        let is_granted = grants.map(|grants| grants.has(room, right));
        let is_allowed = match self.who(room, right) {
            Who::All => true,
            Who::Users => conn.user().is_some(),
            Who::Token => is_granted == Some(true),
            Who::None => false,
        };
        // A token that names rooms restricts its client even where the rules permit everything.
        is_allowed && is_granted != Some(false)
    }

    fn who(&self, room: &str, right: Right) -> Who {
        let rules = self.read();
        let matching = rules.iter().filter(|rule| rule.pattern.matches(room));
        let who = |rule: &Rule| match right {
            Right::Join => rule.join,
            Right::Publish => rule.publish,
            Right::Whisper => rule.whisper,
            Right::History => rule.history,
        };
        matching.filter_map(who).next().unwrap_or(Who::All)
    }

    /// Permits a direct message only if both clients are in its room: the sender chooses the room, and
    /// could name one with weaker rules.
    fn permit_whisper(&self, conn: &Conn, message: &Message<'_>) -> bool {
        let is_in = |id: &str| conn.server().is_member(id, message.room);
        self.permit(conn, message.room, Right::Whisper)
            && is_in(conn.id().as_str())
            && is_in(message.dst)
    }

    /// Counts an action. Returns true if its rate permits it.
    fn is_in_time(&self, conn: &Conn, room: &str, counted: Counted) -> bool {
        let rules = self.read();
        let rate = |rule: &Rule| match counted {
            Counted::Messages => rule.rate,
            Counted::Joins => rule.join_rate,
        };
        let found = rules.iter().enumerate().find_map(|(at, rule)| {
            rate(rule).filter(|_| rule.pattern.matches(room)).map(|it| (at, it))
        });
        let Some((index, rate)) = found else { return true };
        let buckets = conn.extension::<Buckets>();
        buckets.is_none_or(|buckets| buckets.take(index, counted, rate, Instant::now()))
    }

    /// Returns the initial rate state of a new connection, if there are rates.
    pub(crate) fn buckets(&self) -> Option<Buckets> {
        let rules = self.read().len();
        self.has_rates.then(|| Buckets(Arc::new(Mutex::new(vec![Times::default(); rules]))))
    }
}

impl Rule {
    fn new(room: &Room) -> Rule {
        Rule {
            pattern: Pattern::new(&room.pattern),
            join: room.join,
            publish: room.publish,
            whisper: room.whisper,
            history: room.history_for,
            rate: room.rate,
            join_rate: room.join_rate,
        }
    }
}

/// The rate state of one client, by rule.
#[derive(Clone)]
pub(crate) struct Buckets(Arc<Mutex<Vec<Times>>>);

/// The theoretical arrival times of one rule's rates.
#[derive(Clone, Copy, Default)]
struct Times {
    messages: Option<Instant>,
    joins: Option<Instant>,
}

impl Buckets {
    /// Returns an initial state for another client with the same rules.
    pub(crate) fn empty(&self) -> Buckets {
        let rules = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        Buckets(Arc::new(Mutex::new(vec![Times::default(); rules])))
    }

    /// Applies the generic cell rate algorithm: each message advances the time by its share of a
    /// second.
    fn take(&self, rule: usize, counted: Counted, rate: Rate, now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() <= rule {
            // Rules were added since the client connected.
            buckets.resize(rule + 1, Times::default());
        }
        let Some(times) = buckets.get_mut(rule) else { return true };
        let bucket = match counted {
            Counted::Messages => &mut times.messages,
            Counted::Joins => &mut times.joins,
        };
        // The divisor is never zero, since only positive rates can be parsed.
        let share = Duration::from_secs(1) / rate.per_second;
        // Start no earlier than `now` so that a pause accumulates no more than the burst.
        let next = bucket.unwrap_or(now).max(now) + share;
        let is_in_time = next - now <= share * rate.burst;
        // A rejected message does not delay the next one.
        if is_in_time {
            *bucket = Some(next);
        }
        is_in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_permits_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 2, burst: 3 };
        let buckets = Buckets(Arc::new(Mutex::new(vec![Times::default()])));
        let now = Instant::now();
        let taken = |now| (0..10).filter(|_| buckets.take(0, Counted::Messages, rate, now)).count();
        assert_eq!(taken(now), 3);
        assert_eq!(taken(now + Duration::from_millis(499)), 0);
        assert_eq!(taken(now + Duration::from_millis(500)), 1);
        assert_eq!(taken(now + Duration::from_secs(60)), 3);
        // Joins are counted separately.
        assert!(buckets.take(0, Counted::Joins, rate, now));
    }

    #[test]
    fn rights_of_a_token_are_a_list_or_an_object() {
        let grants = Grants::read(&serde_json::json!(["lobby", "team-*"])).unwrap();
        assert!(grants.has("team-1", Right::Whisper) && !grants.has("lobby2", Right::Join));
        let grants = Grants::read(&serde_json::json!({ "news": ["join"], "*": [] })).unwrap();
        assert!(grants.has("news", Right::Join) && !grants.has("news", Right::Publish));
        for claim in ["\"lobby\"", "[1]", "{\"a\": [\"kick\"]}", "{\"a\": \"join\"}", "null"] {
            let claim = serde_json::from_str(claim).unwrap();
            assert!(Grants::read(&claim).is_none(), "{claim}");
        }
    }
}
