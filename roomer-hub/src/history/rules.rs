//! Rules for rooms with history: numbers messages, and replays missed ones to joining clients.

use roomer_proto::{ConnId, PacketRef};

use crate::config::History;
use crate::history::Histories;
use crate::hub::Hub;
use crate::keys::{ConnKey, RoomKey};
use crate::record::{RareRecord, Record};

impl Hub {
    /// Gives a history to rooms created from now on that match `pattern`, which is a room's name or
    /// a prefix followed by `*`. The first matching pattern applies. Rooms that match no pattern
    /// have no history.
    pub fn add_history(&mut self, pattern: &str, history: History) {
        let (config, key) = (self.config, self.tables.key);
        let new = || Box::new(Histories::new(config.first_epoch, config.max_history, key));
        self.tables.histories.get_or_insert_with(new).add_pattern(pattern, history);
    }

    /// Like [`broadcast`](Self::broadcast), but stores the message and sends its number to
    /// extended members.
    #[cold]
    #[inline(never)]
    pub(crate) fn broadcast_and_store(
        &mut self,
        room: RoomKey,
        packet: &PacketRef<'_>,
        except: Option<ConnKey>,
        record: Record,
    ) {
        let entry = &self.tables.rooms[room];
        let (has_plain, has_extended) = (entry.has_plain_members(), entry.extended_members() > 0);
        let number = match &mut self.tables.histories {
            Some(histories) if entry.has_history => {
                let src = self.output.subject.as_ref().map_or("", ConnId::as_str);
                histories.push(&PacketRef { room: &entry.name, src, ..*packet })
            }
            _ => None,
        };
        // Push the record even if there are no members of either kind, because it then includes the
        // peers.
        if number.is_none() || has_plain || !has_extended {
            self.output.records.push(record);
        }
        if number.is_none() || !has_extended {
            return;
        }
        // If a broadcast produces both a plain and an extended record, only one of them is sent to
        // the peers, so each peer receives the message once.
        let is_from_peer = matches!(record, Record::Rare(RareRecord::Broadcast(_)));
        let is_forwarded = !has_plain && !is_from_peer;
        let has_except = matches!(record, Record::Rare(RareRecord::BroadcastExcept(_)));
        let numbered = RareRecord::Numbered { room, is_forwarded, has_except };
        self.output.records.push(Record::Rare(numbered));
        let left_out = except
            .filter(|&conn| self.tables.is_extended(conn) && self.tables.is_member(conn, room));
        let number = left_out.map(|_| Record::Rare(RareRecord::Number(room)));
        self.output.records.extend(number);
    }

    /// Adds the position to an extended client's `join_ack`, and records the missed messages to
    /// send.
    #[cold]
    #[inline(never)]
    pub(crate) fn answer_recall(&mut self, conn: ConnKey, room: RoomKey) {
        let entry = &self.tables.rooms[room];
        let Some(histories) = &mut self.tables.histories else { return };
        let buckets = &mut self.tables.conns[conn].buckets;
        // Count the request only here: the hub receives a join twice if a rule allows it, and joins
        // of rooms without history do not count. Above the rate, the join is an ordinary one: a few
        // received bytes must not repeatedly cause the server to send many bytes.
        if histories.request.is_some()
            && let Some(rate) = self.config.recall_rate
            && !buckets.get_or_insert_default().take_recall(rate, histories.now)
        {
            histories.request = None;
        }
        let Some(recalled) = histories.answer(&entry.name) else { return };
        let end = format!(r#","at":{},"recovered":{}}}"#, recalled.at, recalled.is_complete);
        histories.ack_end.clear();
        if entry.has_full_presence() {
            histories.ack_end.push(']');
        } else {
            // The payload is already an object, so the position is inserted before its closing brace.
            self.output.own_payload.pop();
            self.output.own_payload.extend_from_slice(end.as_bytes());
        }
        histories.ack_end.push_str(&end);
        let newest = recalled.at.number;
        self.output.records.extend(recalled.numbers.map(|number| {
            let back = u32::try_from(newest - number).unwrap_or(u32::MAX);
            Record::Rare(RareRecord::Missed { room, back })
        }));
    }
}
