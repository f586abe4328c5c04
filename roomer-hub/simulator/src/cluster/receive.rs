//! Passes packets to the clients that receive them, and encodes the numbers in messages.

use roomer_hub::ConnId;
use roomer_proto::extended::{ERROR, MEMBERS};
use roomer_proto::{LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use super::client::{Client, Numbers};
use super::node::{Clients, DIRECT, MESSAGE, TO_USER};
use super::plan::ROOMS;
use crate::fault::{Fault, ensure};

pub(super) fn client(clients: &mut Clients, id: Option<ConnId>) -> Result<&mut Client, Fault> {
    let client = id.and_then(|id| clients.get_mut(&id));
    client.ok_or_else(|| Fault::new(format!("output for {id:?}, which is not a client")))
}

pub(super) fn room_number(name: &str) -> Result<usize, Fault> {
    let number = ROOMS.iter().position(|room| *room == name);
    number.ok_or_else(|| Fault::new(format!("the unknown room {name:?}")))
}

/// Passes a packet that was sent to a room to one of its receivers.
pub(super) fn deliver(
    clients: &mut Clients,
    to: Option<ConnId>,
    packet: &PacketRef<'_>,
) -> Result<(), Fault> {
    let room = room_number(packet.room)?;
    let src = ConnId::parse(packet.src).and_then(|src| clients.get(&src));
    // In an ordered room, a member's last messages may be delivered after the member has left.
    let may_have_left = src.is_some_and(|src| !src.is_in(room) || src.leaves_of(room) > 0);
    let client = client(clients, to)?;
    client.may_receive_from_former = may_have_left && client.orders(room);
    receive(clients, to, packet)
}

/// Passes a packet to the client that receives it.
pub(super) fn receive(
    clients: &mut Clients,
    to: Option<ConnId>,
    packet: &PacketRef<'_>,
) -> Result<(), Fault> {
    let id = || {
        let id = packet.text().ok().and_then(ConnId::parse);
        id.ok_or_else(|| Fault::new(format!("{} without an id", packet.event)))
    };
    let src = ConnId::parse(packet.src);
    // Look up the sender before the receiver is borrowed mutably.
    let sender = src.and_then(|src| clients.get(&src)).map(|src| (src.number, src.node));
    let client = client(clients, to)?;
    let of_protocol = [NEW_MEMBER, MEMBER_LEFT].contains(&packet.event);
    ensure!(!(of_protocol && client.is_extended), "{packet:?} for an extended client");
    match packet.event {
        NEW_MEMBER => client.new_member(room_number(packet.room)?, id()?),
        MEMBER_LEFT => client.member_left(room_number(packet.room)?, id()?),
        LEAVE_ACK => {
            client.left(room_number(packet.room)?);
            Ok(())
        }
        MEMBERS if client.is_extended => client.change(room_number(packet.room)?, packet.payload),
        // This event reports that the server has rejected one of this client's packets. Plain
        // clients receive no such report.
        ERROR if client.is_extended => Ok(()),
        MESSAGE => {
            let (room, numbers) = (room_number(packet.room)?, Numbers::decode(packet.payload)?);
            // Skip ordered rooms: their messages wait for their place, while changes of info do
            // not.
            if let Some(((number, node), src)) = sender.zip(src).filter(|_| !client.orders(room)) {
                client.check_info(src, (numbers.info, number, node), Some(room))?;
            }
            client.message(room, src, numbers)
        }
        TO_USER => client.message_to_user(packet, Numbers::decode(packet.payload)?),
        DIRECT => {
            let src = src.ok_or_else(|| Fault::new("a direct message without a sender".into()))?;
            ensure!(client.id == packet.dst, "{} gets a message to {}", client.id, packet.dst);
            let numbers = Numbers::decode(packet.payload)?;
            if let Some((number, node)) = sender {
                client.check_info(src, (numbers.info, number, node), None)?;
            }
            client.direct(src, numbers)
        }
        event => Err(Fault::new(format!("the odd event {event:?}"))),
    }
}

impl Numbers {
    pub fn encode(self, size: u32) -> Vec<u8> {
        let mut payload = Vec::with_capacity(20 + size as usize);
        payload.extend_from_slice(&self.in_room.to_be_bytes());
        payload.extend_from_slice(&self.total.to_be_bytes());
        payload.extend_from_slice(&self.node.to_be_bytes());
        payload.extend_from_slice(&self.info.to_be_bytes());
        payload.resize(20 + size as usize, b'.');
        payload
    }

    fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let odd = || Fault::new(format!("a message of {} bytes", payload.len()));
        let (in_room, rest) = payload.split_first_chunk().ok_or_else(odd)?;
        let (total, rest) = rest.split_first_chunk().ok_or_else(odd)?;
        let (node, rest) = rest.split_first_chunk().ok_or_else(odd)?;
        let (info, rest) = rest.split_first_chunk().ok_or_else(odd)?;
        ensure!(rest.iter().all(|byte| *byte == b'.'), "a message was changed");
        Ok(Numbers {
            in_room: u32::from_be_bytes(*in_room),
            total: u32::from_be_bytes(*total),
            node: u64::from_be_bytes(*node),
            info: u32::from_be_bytes(*info),
        })
    }
}
