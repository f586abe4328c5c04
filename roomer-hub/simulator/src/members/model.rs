//! The naive model of members with info.
//!
//! It consists of lists and linear search, and was written from the protocol's text.

use roomer_hub::Presence;

use super::plan::{INFOS, INVALID, Plan, ROOMS, USERS};

/// A packet that a client must receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedPacket {
    pub room: &'static str,
    pub event: &'static str,
    pub src: String,
    pub payload: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Text(String),
    /// The list of a room's members, in the order of the hub's tables. `client`, its receiver, is
    /// never listed as away.
    List {
        room: &'static str,
        extended: bool,
        client: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub extended: bool,
    pub is_open: bool,
    pub info: &'static str,
    pub user: &'static str,
    pub is_away: bool,
    /// The token bucket for info changes: its contents in thousandths of a token, and the time of
    /// its last refill.
    tokens: Option<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub struct Guest {
    pub id: String,
    pub info: &'static str,
    pub user: &'static str,
    pub is_away: bool,
}

#[derive(Clone, Debug)]
pub struct Room {
    pub name: &'static str,
    pub members: Vec<usize>,
    pub guests: Vec<usize>,
    pub count: u32,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub(super) plan: Plan,
    pub clients: Vec<Client>,
    pub rooms: Vec<Room>,
    pub guests: Vec<Guest>,
    pub is_peer_up: bool,
    /// The current time in milliseconds.
    pub now: u64,
    /// The packets that clients must receive because of the last input, each with its receiver.
    pub expected: Vec<(usize, ExpectedPacket)>,
    /// The info changes about which the application must still decide, each with its client and
    /// payload.
    pub questions: Vec<(usize, &'static [u8])>,
    /// True if the last input was rejected. In that case its client may receive an error.
    pub has_rejected: bool,
    pub rejected_info: u64,
    pub rejected_reserved: u64,
    pub rejected_not_member: u64,
    pub denied: u64,
}

impl Client {
    /// Returns this client's entry in a member list.
    pub fn entry(&self) -> String {
        entry(&self.id, self.info, self.user)
    }
}

impl Guest {
    /// Returns this guest's entry in a member list.
    pub fn entry(&self) -> String {
        entry(&self.id, self.info, self.user)
    }
}

fn entry(id: &str, info: &str, user: &str) -> String {
    match user {
        "" => format!("[\"{id}\",{info}]"),
        user => format!("[\"{id}\",{info},{user}]"),
    }
}

impl Model {
    pub fn new(plan: &Plan, guest_ids: Vec<String>) -> Self {
        let guest = |id| Guest { id, info: "null", user: "", is_away: false };
        Model {
            plan: Plan { steps: Vec::new(), ..plan.clone() },
            clients: Vec::new(),
            rooms: Vec::new(),
            guests: guest_ids.into_iter().map(guest).collect(),
            is_peer_up: false,
            now: 0,
            expected: Vec::new(),
            questions: Vec::new(),
            has_rejected: false,
            rejected_info: 0,
            rejected_reserved: 0,
            rejected_not_member: 0,
            denied: 0,
        }
    }

    pub fn presence(&self, name: &str) -> Presence {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        let rule = self.plan.presence_rules.iter().find(|(pattern, _)| fits(pattern));
        rule.map_or(Presence::Full, |rule| rule.1)
    }

    pub fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.name == name)
    }

    pub fn is_in(&self, client: usize, name: &str) -> bool {
        self.room(name).is_some_and(|room| room.members.contains(&client))
    }

    /// Returns the number of a room's members on all nodes.
    pub fn count(&self, name: &str) -> u64 {
        let count =
            |room: &Room| (room.members.len() + room.guests.len()) as u64 + u64::from(room.count);
        self.room(name).map_or(0, count)
    }

    pub(super) fn room_or_new(&mut self, name: &'static str) -> &mut Room {
        let at = self.rooms.iter().position(|room| room.name == name).unwrap_or_else(|| {
            let (members, guests) = (Vec::new(), Vec::new());
            self.rooms.push(Room { name, members, guests, count: 0 });
            self.rooms.len() - 1
        });
        &mut self.rooms[at]
    }

    pub(super) fn drop_empty_rooms(&mut self) {
        self.rooms
            .retain(|room| !room.members.is_empty() || !room.guests.is_empty() || room.count > 0);
    }

    pub(super) fn text(
        &mut self,
        to: usize,
        room: &'static str,
        event: &'static str,
        src: &str,
        text: String,
    ) {
        let (src, payload) = (src.into(), Payload::Text(text));
        self.expected.push((to, ExpectedPacket { room, event, src, payload }));
    }

    pub fn open(&mut self, id: String, extended: bool, info: u8, user: u8) {
        let info = INFOS[usize::from(info) % INFOS.len()].1;
        let user = USERS[usize::from(user) % USERS.len()].1;
        let (is_open, is_away, tokens) = (true, false, None);
        self.clients.push(Client { id, extended, is_open, info, user, is_away, tokens });
        self.join(self.clients.len() - 1, "root");
    }

    pub fn join(&mut self, client: usize, name: &'static str) {
        let was_in = self.is_in(client, name);
        if !was_in {
            self.room_or_new(name).members.push(client);
        }
        let Client { id, extended, .. } = self.clients[client].clone();
        let entry = self.clients[client].entry();
        let payload = match (self.presence(name), extended) {
            (Presence::Full, extended) => Payload::List { room: name, extended, client },
            (Presence::Count, true) => Payload::Text(format!("{{\"count\":{}}}", self.count(name))),
            (Presence::Count, false) => Payload::Text(self.count(name).to_string()),
            (_, true) => Payload::Text(format!("{{\"members\":[{entry}]}}")),
            (_, false) => Payload::Text(format!("[\"{id}\"]")),
        };
        self.expected.push((
            client,
            ExpectedPacket { room: name, event: "join_ack", src: id.clone(), payload },
        ));
        if !was_in {
            let is_away = self.clients[client].is_away;
            let joined = self.joined(name, &entry, &id, is_away);
            self.notify(name, Some(client), joined, Some(("new_member", id)));
        }
    }

    /// Notifies the members of a room, each in its own protocol. In rooms with counts, sends only
    /// the count.
    pub(super) fn notify(
        &mut self,
        name: &'static str,
        about: Option<usize>,
        extended: String,
        plain: Option<(&'static str, String)>,
    ) {
        // A client is notified of changes of its own info, but not of its own join.
        let except = about.filter(|_| plain.is_some());
        let presence = self.presence(name);
        let number = format!("{{\"count\":{}}}", self.count(name));
        let members = self.room(name).map_or(Vec::new(), |room| room.members.clone());
        for member in members.into_iter().filter(|member| Some(*member) != except) {
            match (presence, self.clients[member].extended, &plain) {
                (Presence::Full, true, _) => {
                    self.text(member, name, "roomer:members", "", extended.clone());
                }
                (Presence::Full, false, Some((event, id))) => {
                    self.text(member, name, event, "", id.clone());
                }
                // Without presence, only the client itself is notified of a change of its info.
                (Presence::Off, true, None) if Some(member) == about => {
                    self.text(member, name, "roomer:members", "", extended.clone());
                }
                // An info change does not change the count, and is not reported in rooms with
                // counts.
                (Presence::Count, true, Some(_)) => {
                    self.text(member, name, "roomer:members", "", number.clone());
                }
                _ => {}
            }
        }
    }

    pub fn leave(&mut self, client: usize, name: &'static str) {
        let id = self.clients[client].id.clone();
        self.text(client, name, "leave_ack", &id, id.clone());
        self.remove(client, name);
    }

    fn remove(&mut self, client: usize, name: &'static str) {
        if self.is_in(client, name) {
            self.room_or_new(name).members.retain(|member| *member != client);
            let id = self.clients[client].id.clone();
            self.notify(name, None, format!("{{\"left\":[\"{id}\"]}}"), Some(("member_left", id)));
            self.drop_empty_rooms();
        }
    }

    pub fn gone(&mut self, client: usize) {
        self.clients[client].is_open = false;
        ROOMS.iter().for_each(|name| self.remove(client, name));
    }

    pub fn message(&mut self, client: usize, name: &'static str) {
        if !self.is_in(client, name) {
            self.rejected_not_member += 1;
            self.has_rejected = true;
            return;
        }
        let id = self.clients[client].id.clone();
        let members = self.room(name).map_or(Vec::new(), |room| room.members.clone());
        for member in members.into_iter().filter(|member| *member != client) {
            self.text(member, name, "chat", &id, "hi".into());
        }
    }

    pub fn direct(&mut self, from: usize, to: usize) {
        let id = self.clients[from].id.clone();
        self.text(to, "root", "chat", &id, "hi".into());
    }

    pub fn set_info(&mut self, client: usize, info: &'static str) {
        if std::mem::replace(&mut self.clients[client].info, info) == info {
            return;
        }
        let changed = format!("{{\"changed\":[{}]}}", self.clients[client].entry());
        for name in ROOMS {
            if self.is_in(client, name) {
                self.notify(name, Some(client), changed.clone(), None);
            }
        }
    }

    /// Handles info sent by a client, which may be one of the `INVALID` payloads.
    pub fn send_info(&mut self, client: usize, payload: &'static [u8]) {
        let Plan { authorize, max_info, rate, .. } = self.plan;
        if !self.clients[client].extended {
            self.rejected_reserved += 1;
            self.has_rejected = true;
        } else if !authorize
            || payload.len() > max_info
            || INVALID.contains(&payload)
            || !self.take(client, rate)
        {
            self.rejected_info += 1;
            self.has_rejected = true;
        } else {
            self.questions.push((client, payload));
        }
    }

    /// Returns two flags: whether the rate permits an info change now, and whether it would after a
    /// long wait.
    pub fn may_send(&self, client: usize) -> (bool, bool) {
        let mut one = Model::new(&self.plan, Vec::new());
        one.clients.push(self.clients[client].clone());
        one.now = self.now;
        let now = one.clone().take(0, self.plan.rate);
        one.now += 1_000_000;
        (now, one.take(0, self.plan.rate))
    }

    fn take(&mut self, client: usize, rate: Option<(u32, u32)>) -> bool {
        let Some((per_second, burst)) = rate else { return true };
        let full = u64::from(burst) * 1000;
        let (tokens, at) = self.clients[client].tokens.unwrap_or((full, self.now));
        let tokens = full.min(tokens + (self.now - at) * u64::from(per_second));
        let has_enough = tokens >= 1000;
        let left = if has_enough { tokens - 1000 } else { tokens };
        self.clients[client].tokens = Some((left, self.now));
        has_enough
    }

    pub fn answer(&mut self, client: usize, payload: &'static [u8], is_allowed: bool) {
        if !self.clients[client].is_open {
            return;
        }
        if !is_allowed {
            self.denied += 1;
            self.has_rejected = true;
            return;
        }
        let given = INFOS.iter().find(|(given, _)| given.as_bytes() == payload);
        if let Some((_, info)) = given {
            self.set_info(client, info);
        }
    }
}
