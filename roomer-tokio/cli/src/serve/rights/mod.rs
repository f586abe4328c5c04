//! The rights of clients in rooms, from the rules in the file and the rights in clients' tokens.

use std::sync::{Arc, RwLockReadGuard};

use roomer_tokio::{Builder, Conn, Message};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};

use crate::serve::config::rooms::{Room, Who};
use crate::serve::config::setting::{Rate, Setting};
use crate::serve::rates::{Buckets, Counted};
use crate::serve::replaceable::{Replaceable, Replacement};
use crate::serve::webhooks::{Events, Webhooks};

/// An action of a client in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Join,
    Publish,
    Whisper,
    History,
}

/// The name of a room, or the beginning of names followed by `*`.
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

    /// Returns true if this pattern matches each name that the other one matches.
    pub(crate) fn covers(&self, other: &Pattern) -> bool {
        match self.is_prefix {
            true => other.text.starts_with(&self.text),
            false => self == other,
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

/// The rights that a token grants, by room. If a token has no such claim, only the rules restrict
/// its client.
#[derive(Clone, Debug)]
pub(crate) struct Grants(Arc<[(Pattern, Vec<Right>)]>);

impl Grants {
    /// Parses the claim. It is either a list of patterns, for which the client has all rights, or
    /// an object with the rights for each pattern.
    pub(crate) fn read(claim: &Value) -> Option<Grants> {
        const ALL: [Right; 4] = [Right::Join, Right::Publish, Right::Whisper, Right::History];
        // An invalid entry makes the login fail, since it is not known what the entry should have
        // restricted.
        let grants: Option<Vec<_>> = match claim {
            Value::Array(patterns) => {
                let grant =
                    |pattern: &Value| Some((Pattern::parse(pattern.as_str()?).ok()?, ALL.into()));
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
        let grant =
            |(pattern, names): (&String, _)| Some((Pattern::parse(pattern).ok()?, rights(names)?));
        rooms.iter().map(grant).collect()
    }

    fn has(&self, room: &str, right: Right) -> bool {
        self.0.iter().any(|(pattern, rights)| pattern.matches(room) && rights.contains(&right))
    }
}

/// The rules in the file, in order. They can be replaced while the server runs.
#[derive(Clone)]
pub(crate) struct Rules {
    rules: Arc<Replaceable<Vec<Rule>>>,
    /// True if there was a rate when the server started. Only then are messages counted.
    has_rates: bool,
}

struct Rule {
    pattern: Pattern,
    join: Option<Who>,
    publish: Option<Who>,
    whisper: Option<Who>,
    history: Option<Who>,
    /// The maximum rate at which a client sends to rooms that match the pattern.
    rate: Option<Rate>,
    /// The maximum rate at which a client joins rooms that match the pattern.
    join_rate: Option<Rate>,
}

/// The actions that some rule may deny. The fields have the names of the keys in the file.
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
    /// Returns the keys of actions that these rules may deny, but that the rules in `start` never
    /// deny.
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
        Rules { rules: Arc::new(Replaceable::new(rules)), has_rates }
    }

    /// Prepares to replace all rules. The state of a client's rates belongs to the position of a rule in the
    /// list.
    pub(crate) fn replace<'a>(&self, rooms: impl Iterator<Item = &'a Room>) -> Replacement<'_> {
        self.rules.prepare(rooms.map(Rule::new).collect())
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Rule>> {
        self.rules.read()
    }

    /// Returns the actions that may be denied. If `has_login` is true, logins may deny actions too;
    /// if `has_webhook` is true, the webhook for joins may deny joins.
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

    /// Returns the actions that rules may deny while a server runs to which [`add`](Self::add) has added
    /// these rules: some actions are checked for another reason, and then new rules apply to them too.
    pub(crate) fn enforced(&self, has_login: bool, webhooks: &Webhooks) -> Denies {
        let has_webhook = webhooks.may_join.is_some();
        let has_messages = webhooks.events.as_ref().is_some_and(|events| events.has_messages());
        let denies = self.denies(has_login, has_webhook);
        Denies {
            join: denies.join || denies.join_rate,
            publish: denies.publish || denies.rate || has_messages,
            join_rate: denies.join_rate || (has_webhook && self.has_rates),
            ..denies
        }
    }

    /// Adds the rules to a server. A rule that can never deny anything is not added, since the
    /// server calls each rule for every message. If `has_login` is true, logins may restrict
    /// clients too. The webhook for joins is called for joins that all rules permit, and
    /// the webhook for events receives messages.
    pub(crate) fn add(
        &self,
        mut builder: Builder,
        has_login: bool,
        webhooks: &Webhooks,
    ) -> Builder {
        let webhook = webhooks.may_join.clone();
        let events = webhooks.events.clone().filter(|events| events.has_messages());
        let denies = self.denies(has_login, webhook.is_some());
        if webhook.is_some() || denies.join_rate {
            let rules = self.clone();
            builder = builder.may_join_async(async move |conn, room| {
                // Check the rules first, since this needs no request.
                if !rules.permit(&conn, &room, Right::Join) {
                    return false;
                }
                rules.wait(&conn, &room, Counted::Joins).await;
                // The rules may have been replaced during the wait.
                if !rules.permit(&conn, &room, Right::Join) {
                    return false;
                }
                match webhook {
                    Some(webhook) => webhook.permits(&conn, &room).await,
                    None => true,
                }
            });
        } else if denies.join {
            let rules = self.clone();
            builder = builder.may_join(move |conn, room| rules.permit(conn, room, Right::Join));
        }
        if denies.history {
            let rules = self.clone();
            builder = builder
                .may_read_history(move |conn, room| rules.permit(conn, room, Right::History));
        }
        // Rules that wait cost an allocation for each message, so add them only if there are rates.
        if denies.rate {
            builder = self.add_message_rates(builder, events, denies.whisper);
        } else {
            if denies.publish || events.is_some() {
                let rules = self.clone();
                builder = builder.may_publish(move |conn, message| {
                    let is_permitted = rules.permit(conn, message.room, Right::Publish);
                    if is_permitted && let Some(events) = &events {
                        events.message(conn, message);
                    }
                    is_permitted
                });
            }
            if denies.whisper {
                let rules = self.clone();
                builder =
                    builder.may_send(move |conn, message| rules.permit_whisper(conn, message));
            }
        }
        builder
    }

    /// Adds rules for messages that wait until the rates permit the message.
    fn add_message_rates(
        &self,
        builder: Builder,
        events: Option<Arc<Events>>,
        limits_whispers: bool,
    ) -> Builder {
        let rules = self.clone();
        let builder = builder.may_publish_async(async move |conn, message| {
            // Check the rules first, so that a message that is denied does not count.
            if !rules.permit(&conn, &message.room, Right::Publish) {
                return false;
            }
            let is_member = || conn.server().is_member(conn.id(), &message.room);
            let was_member = is_member();
            rules.wait(&conn, &message.room, Counted::Messages).await;
            // In the meantime, the rules may have been replaced.
            if !rules.permit(&conn, &message.room, Right::Publish) {
                return false;
            }
            // If the client has left the room in the meantime, the server drops the message. With
            // `compat`, the client may never have been in the room.
            if let Some(events) = &events
                && (!was_member || is_member())
            {
                events.message(&conn, &message.borrowed());
            }
            true
        });
        let rules = self.clone();
        builder.may_send_async(async move |conn, message| {
            let is_permitted =
                || !limits_whispers || rules.permit_whisper(&conn, &message.borrowed());
            if !is_permitted() {
                return false;
            }
            rules.wait(&conn, &message.room, Counted::Messages).await;
            // In the meantime, one of the two clients may have left the room.
            is_permitted()
        })
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
        // If a token lists rooms, it restricts its client even where the rules permit everything.
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

    /// Permits a direct message only if both clients are in the room that it names: otherwise the
    /// sender could name a room whose rules are weaker.
    fn permit_whisper(&self, conn: &Conn, message: &Message<'_>) -> bool {
        let is_in = |id: &str| conn.server().is_member(id, message.room);
        self.permit(conn, message.room, Right::Whisper)
            && is_in(conn.id().as_str())
            && is_in(message.dst)
    }

    /// Counts an action, and waits until its rate permits it. Meanwhile, this client's later packets
    /// wait, so that the excess is delayed and not lost.
    async fn wait(&self, conn: &Conn, room: &str, counted: Counted) {
        if let Some(time) = self.reserve(conn, room, counted) {
            sleep_until(time).await;
        }
    }

    /// Counts an action. Returns the time until which it must wait; `None` if it need not wait.
    fn reserve(&self, conn: &Conn, room: &str, counted: Counted) -> Option<Instant> {
        let rules = self.read();
        let rate = |rule: &Rule| match counted {
            Counted::Messages => rule.rate,
            Counted::Joins => rule.join_rate,
        };
        let (index, rate) = rules.iter().enumerate().find_map(|(at, rule)| {
            rate(rule).filter(|_| rule.pattern.matches(room)).map(|it| (at, it))
        })?;
        let now = Instant::now();
        let time = conn.extension::<Buckets>()?.reserve(index, counted, rate, now);
        (time > now).then_some(time)
    }

    /// Returns the initial state of the rates for a new connection; `None` if there are no rates.
    pub(crate) fn buckets(&self) -> Option<Buckets> {
        let rules = self.read().len();
        self.has_rates.then(|| Buckets::new(rules))
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

#[cfg(test)]
mod tests;
