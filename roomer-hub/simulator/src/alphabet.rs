//! The strings that plans use: rooms, events, ids and payloads.
//!
//! All are `'static`, so a step contains only pointers to them.

use std::sync::LazyLock;

use roomer_hub::ConnId;

/// Room names: an empty name, prefixes of other names, names that differ only in case, spaces or
/// the encoding of an accent, and names whose length in bytes differs from their length in
/// characters.
pub const ROOMS: [&str; 18] = [
    "root",
    "r",
    "ro",
    "roo",
    "",
    "root2",
    "root22",
    "root\0",
    "Root",
    "ro\u{e9}",
    "roo\u{e9}",
    "r\u{f6}\u{f6}t",
    "r\u{f6}\u{f6}tx",
    "r\u{f6}\u{f6}t\u{f6}",
    "join",
    "root222",
    "root ",
    "roe\u{301}",
];

/// Events that clients may send.
pub const EVENTS: [&str; 12] = [
    "chat",
    "ping",
    "chatt",
    "chatty",
    "chatt\u{e9}",
    "",
    "JOIN",
    "cha",
    "joi",
    "leave2",
    "Close",
    "chat ",
];

/// Events that only servers may send.
pub const RESERVED: [&str; 6] =
    ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];

/// Reasons for close frames.
pub const REASONS: [&str; 3] = ["", "bye", "tsch\u{fc}\u{df}"];

/// Returns the index of a room's name in [`ROOMS`].
pub fn room_number(name: &str) -> Option<u8> {
    ROOMS.iter().position(|room| *room == name).map(|at| at as u8)
}

/// The number of plain ids, and therefore the maximum number of connections in a plan.
pub const IDS: usize = 512;

/// The number of peer tags. The ids of a peer's connections begin with the peer's tag.
pub const TAGS: u8 = 4;

/// The number of ids with each tag.
pub const IDS_PER_TAG: u16 = 64;

/// The total number of ids: first the plain ids, then those with a tag.
pub const ALL_IDS: usize = IDS + TAGS as usize * IDS_PER_TAG as usize;

/// Returns a peer's tag: the first bytes of its connections' ids.
pub fn tag(number: u8) -> [u8; 4] {
    [0xb0, 0xb0, 0xb0, number]
}

/// Returns the number of the `number`th tagged id. Wraps around after the last one.
pub fn tagged(number: u16) -> u16 {
    IDS as u16 + number % (u16::from(TAGS) * IDS_PER_TAG)
}

/// Returns the number of an id's tag; `None` for a plain id.
pub fn tag_of(id: u16) -> Option<u8> {
    Some((usize::from(id).checked_sub(IDS)? / usize::from(IDS_PER_TAG)) as u8)
}

/// An id's canonical text, and similar texts that must not be parsed as this id.
pub struct Identity {
    pub id: ConnId,
    pub text: String,
    pub upper: String,
    pub padded: String,
    pub cut: String,
}

static IDENTITIES: LazyLock<Vec<Identity>> = LazyLock::new(|| {
    let identity = |number: usize| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0xa0, number as u8, (number >> 8) as u8, 7]);
        if let Some(number) = number.checked_sub(IDS) {
            bytes[..4].copy_from_slice(&tag((number / usize::from(IDS_PER_TAG)) as u8));
            bytes[4] = (number % usize::from(IDS_PER_TAG)) as u8;
        }
        bytes[15] = 0xf;
        let id = ConnId::from_random_bytes(bytes);
        // The canonical form: version 4, lower case, hyphens.
        let [a, b, c, d, e, ..] = bytes;
        let text = format!("{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}00-4000-8000-00000000000f");
        let (upper, padded, cut) = (text.to_uppercase(), format!("{text} "), text[1..].into());
        Identity { id, text, upper, padded, cut }
    };
    (0..ALL_IDS).map(identity).collect()
});

/// Returns the identity with this number, which is below [`ALL_IDS`].
pub fn identity(number: u16) -> &'static Identity {
    &IDENTITIES[usize::from(number)]
}

/// Returns an id's number; `None` if the id is unknown.
pub fn id_number(id: &[u8]) -> Option<u16> {
    let digit = |at: usize| char::from(*id.get(at)?).to_digit(16);
    let number = match id.first()? {
        b'a' => digit(2)? << 4 | digit(3)? | digit(4)? << 12 | digit(5)? << 8,
        _ => {
            let in_tag = digit(9)? << 4 | digit(10)?;
            IDS as u32 + digit(7)? * u32::from(IDS_PER_TAG) + in_tag
        }
    };
    let known = IDENTITIES.get(number as usize)?;
    (known.text.as_bytes() == id).then_some(number as u16)
}

static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let byte = |at: usize| ((at * 131 + 7) ^ (at >> 8)) as u8;
    (0..0x1_0000 + 0x200).map(byte).collect()
});

/// Returns a payload of `len` bytes, whose contents depend on `from`.
pub fn noise(from: u8, len: u32) -> &'static [u8] {
    let from = usize::from(from);
    &NOISE[from..from + len as usize]
}
