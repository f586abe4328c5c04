//! Converts the frames in a peer's stream to effects.

use bytes::Bytes;
use roomer_proto::cluster::{
    FrameKind, HEAD_MAX, Head, Item, Items, NodeId, OrderItem, PeerCommand, UserCommand,
};

use super::effect::{Effect, Event};
use super::owned_peer_command::OwnedPeerCommand;
use super::owned_user_command::OwnedUserCommand;
use super::peer::Peer;
use super::proof::SessionProof;
use super::reasons::{GoneReason, RefusedReason, ResetReason};
use super::slice::{last_packet, name};
use super::transfer::Transfer;
use super::{Cluster, Config, Loss};
use crate::keys::PeerKey;
use crate::tables::Tables;

/// The maximum size of an item without its packet: lengths, names and ids.
const ITEM_OVERHEAD: usize = 64 * 1024;

impl Cluster {
    /// Applies the next frame in a peer's stream.
    pub(super) fn apply(
        &mut self,
        tables: &Tables,
        from: NodeId,
        frame: &Bytes,
    ) -> Result<(), ResetReason> {
        let max_item = max_item_len(&self.config);
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        // The slice is in range: the head of a stream frame always has this length, and was decoded
        // when it arrived.
        let mut body = frame.slice(HEAD_MAX..);
        // Decode the head again, because held frames are stored as bytes.
        let kind = Head::decode(frame).map(|(head, _)| head.kind);
        let is_part = matches!(kind, Ok(FrameKind::Stream { more: true, .. }));
        let partial = &mut peer.incoming.partial;
        // An item larger than a frame arrives in parts. Check the limit before storing a part.
        if is_part || !partial.is_empty() {
            if partial.len() + body.len() > max_item {
                self.report(Event::Refused { reason: RefusedReason::TooLarge });
                return Err(ResetReason::Malformed);
            }
            partial.extend_from_slice(&body);
            if is_part {
                return Ok(());
            }
            // Use a single buffer for all parts so that names and packets can be slices of it.
            body = std::mem::take(partial).into();
        }
        let mut items = Items::new(&body);
        while let Some(item) = items.next() {
            let end = body.len() - items.remaining();
            match item {
                Ok(item) => self.item(tables, from, &item, &body.slice(..end))?,
                Err(error) => {
                    self.report(Event::Refused { reason: RefusedReason::Malformed(error) });
                    return Err(ResetReason::Malformed);
                }
            }
        }
        Ok(())
    }

    /// Applies one item. `bytes` ends with the item.
    fn item(
        &mut self,
        tables: &Tables,
        from: NodeId,
        item: &Item<'_>,
        bytes: &Bytes,
    ) -> Result<(), ResetReason> {
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        match item {
            Item::Begin { lost, uptime_ms } => {
                let is_first = peer.incoming.applied().number == 0;
                if !is_first || peer.incoming.transfer.is_some() {
                    return Err(ResetReason::Malformed);
                }
                peer.incoming.began_ms = *uptime_ms;
                peer.incoming.transfer = Some(Transfer::new(lost));
                return Ok(());
            }
            Item::End => return self.end_transfer(tables, from),
            Item::Bye => {
                self.drop_peer(from, GoneReason::Bye);
                return Ok(());
            }
            _ => {}
        }
        if let Item::Profile { id, info, user } = *item {
            let (is_transfer, key) = (peer.incoming.transfer.is_some(), peer.key);
            // Outside a transfer, a profile is valid only in a live stream.
            if !is_transfer && (key.is_none() || !peer.incoming.is_live()) {
                return Err(ResetReason::Malformed);
            }
            return self.profile_item(from, (id, info, user));
        }
        // Before `End`, a stream contains only members, profiles, counts and order state.
        if let Some(transfer) = &mut peer.incoming.transfer {
            return match item {
                Item::Order(order) => self.order_state(from, order),
                // Check the limit before adding the item, so one item at most exceeds it.
                Item::Members { room, ids } if transfer.len() < self.config.max_seats => {
                    transfer.add_members(&name(bytes, room), *ids);
                    Ok(())
                }
                Item::Away { id, is_away: true } if transfer.away_len() < self.config.max_seats => {
                    transfer.add_away(*id);
                    Ok(())
                }
                Item::Count { members, room } if transfer.len() < self.config.max_seats => {
                    transfer.add_count(name(bytes, room), *members);
                    Ok(())
                }
                _ => Err(ResetReason::Malformed),
            };
        }
        let Some(key) = peer.key.filter(|_| peer.incoming.is_live()) else {
            return Err(ResetReason::Malformed);
        };
        if !is_within(item, &self.config) {
            // Drop only this item: a peer with larger limits must not cause a reset.
            self.bad_frame(from, RefusedReason::TooLarge);
            return Ok(());
        }
        match item {
            Item::Order(order) => return self.order_item(from, order, bytes),
            Item::Tunnel(item) => {
                self.tunnel_item(from, item);
                return Ok(());
            }
            _ => {}
        }
        match live_item((from, key), item, bytes) {
            Some(mut effect) => {
                if let Effect::GuestJoined { id, profile, .. } = &mut effect {
                    // The connection's profile item precedes the join, and is kept for later rooms.
                    *profile = peer.incoming.profiles.profile(id);
                }
                let hash = &self.hash;
                count_seat(peer, &effect, |room, id| hash.seat(room, id));
                self.effects.push(effect);
                Ok(())
            }
            None => Err(ResetReason::Malformed),
        }
    }

    /// Ends the transfer of a peer's members, and makes them visible in the hub.
    fn end_transfer(&mut self, tables: &Tables, from: NodeId) -> Result<(), ResetReason> {
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        let transfer = peer.incoming.transfer.take().ok_or(ResetReason::Malformed)?;
        let was_shown = peer.key.is_some();
        let key = match peer.key {
            Some(key) => key,
            None => {
                // Use the lowest free key, because it indexes the hub's tables.
                let free = self.keys.iter().position(Option::is_none);
                let index = free.unwrap_or(self.keys.len());
                self.keys.resize(self.keys.len().max(index + 1), None);
                self.keys[index] = Some(from);
                // At most `max_peers` keys are in use, so the index fits.
                let key = PeerKey::new(index as u16);
                peer.key = Some(key);
                self.effects.push(Effect::PeerUp { peer: key, tag: from.tag() });
                key
            }
        };
        // If the peer's members were not visible before, no messages can be missing.
        let gaps = if was_shown { transfer.gaps(tables) } else { Vec::new() };
        let loss = self.config.loss;
        if loss == Loss::Close && was_shown {
            transfer.close(tables, key, &mut self.effects);
        }
        let is_shown_by_rejoin = loss == Loss::Rejoin;
        (peer.incoming.digest, peer.incoming.profiles) =
            transfer.finish(tables, key, &self.hash, is_shown_by_rejoin, &mut self.effects);
        let frames = peer.incoming.become_live();
        peer.stale = std::time::Duration::ZERO;
        let name = peer.name.clone();
        for room in gaps {
            self.report(Event::Gap { node: from, name: name.clone(), room, frames });
        }
        self.announce(from);
        self.orders.wake();
        Ok(())
    }

    /// Reports a peer as live once its members are visible and its name is known.
    pub(super) fn announce(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.key.is_some() && peer.has_beat && !peer.is_announced {
            peer.is_announced = true;
            let name = peer.name.clone();
            self.report(Event::PeerLive { node, name });
        }
    }
}

/// Returns the effect of an item in a live stream; `None` if the item is malformed or not valid there.
fn live_item((from, peer): (NodeId, PeerKey), item: &Item<'_>, bytes: &Bytes) -> Option<Effect> {
    Some(match item {
        Item::Joined { id, room } => {
            Effect::GuestJoined { peer, room: name(bytes, room), id: *id, profile: None }
        }
        Item::Left { id, room } => Effect::GuestLeft { peer, room: name(bytes, room), id: *id },
        Item::Away { id, is_away } => Effect::GuestAway { peer, id: *id, is_away: *is_away },
        Item::Count { members, room } => {
            Effect::GuestCount { peer, room: name(bytes, room), members: *members }
        }
        Item::Broadcast { except, packet } => {
            Effect::Broadcast { peer, except: *except, packet: last_packet(bytes, packet) }
        }
        Item::Direct { packet } => Effect::Direct { peer, packet: last_packet(bytes, packet) },
        Item::Command { id, command } => {
            Effect::Command { id: *id, command: OwnedPeerCommand::from(*command) }
        }
        Item::Elsewhere { id, proof } => {
            Effect::Elsewhere { from, id: *id, proof: SessionProof(*proof) }
        }
        Item::User { user, command } => {
            let command = OwnedUserCommand::new(command, bytes)?;
            Effect::User { user: name(bytes, user), command }
        }
        _ => return None,
    })
}

/// Updates the digest of a peer's seats.
fn count_seat(peer: &mut Peer, effect: &Effect, hash: impl Fn(&str, &roomer_proto::ConnId) -> u64) {
    let incoming = &mut peer.incoming;
    match effect {
        Effect::GuestJoined { room, id, .. } => {
            // Use a wrapping sum so that the order of joins and leaves does not matter.
            incoming.digest = incoming.digest.wrapping_add(hash(room, id));
        }
        Effect::GuestLeft { room, id, .. } => {
            incoming.digest = incoming.digest.wrapping_sub(hash(room, id));
        }
        _ => {}
    }
}

/// Returns the maximum size of an item in bytes.
pub(super) fn max_item_len(config: &Config) -> usize {
    config.max_packet + ITEM_OVERHEAD
}

/// Returns true if the names, packet and info of an item are within the limits.
pub(super) fn is_within(item: &Item<'_>, config: &Config) -> bool {
    let Config { max_name, max_packet, max_info, .. } = *config;
    match item {
        Item::Joined { room, .. } | Item::Left { room, .. } | Item::Count { room, .. } => {
            room.len() <= max_name
        }
        Item::Broadcast { packet, .. } | Item::Direct { packet } => {
            // The limit applies to the packet that the client sent, before the server added `src`.
            packet.encoded_len() <= max_packet + packet.src.len()
        }
        Item::Order(order) => match order {
            OrderItem::Message { packet, .. } => {
                packet.encoded_len() <= max_packet + packet.src.len()
            }
            OrderItem::Submit { room, .. }
            | OrderItem::Place { room, .. }
            | OrderItem::Return { room, .. }
            | OrderItem::Term { room, .. } => room.len() <= max_name,
            _ => true,
        },
        Item::Command { command, .. } => match command {
            PeerCommand::Join { room } | PeerCommand::Leave { room } => room.len() <= max_name,
            PeerCommand::Move { from, to } => from.len() <= max_name && to.len() <= max_name,
            PeerCommand::Close { .. } => true,
        },
        Item::User { user, command } => {
            let is_within = match command {
                UserCommand::Send { packet } => packet.encoded_len() <= max_packet,
                UserCommand::Leave { room } => room.len() <= max_name,
                UserCommand::Close { .. } => true,
                UserCommand::SetInfo { info } => info.len() <= max_info,
            };
            is_within && user.len() <= max_name
        }
        _ => true,
    }
}
