//! Tracks the requests that a client has sent, and those that it must answer.

use std::collections::{HashMap, HashSet};

use roomer_conformance::wire::{self, PacketView};

/// The maximum number of a client's pending requests.
pub(super) const MAX_PENDING: usize = 12;

#[derive(Default)]
pub(super) struct Requests {
    /// The pending requests, by tag. Each consists of its receiver, unless that is the server, and
    /// the payload, which the answer must repeat.
    pending: HashMap<String, (Option<String>, Vec<u8>)>,
    next_tag: u64,
    /// For each client, the number of the next request to it.
    to: HashMap<String, u64>,
    /// For each client, the number that the next request from it must have.
    from: HashMap<String, u64>,
    /// The tags of all requests that the server has sent.
    seen: HashSet<String>,
    /// The packets of answers that were postponed.
    postponed: Vec<Vec<u8>>,
    pub(super) answered: usize,
    pub(super) failed: usize,
}

impl Requests {
    /// Returns the packet for a request to the server or to a client.
    pub(super) fn ask(&mut self, me: &str, to: Option<&str>, event: &str) -> Option<Vec<u8>> {
        if self.pending.len() >= MAX_PENDING {
            return None;
        }
        self.next_tag += 1;
        let tag = format!("t{}", self.next_tag);
        let number = match to {
            Some(to) => {
                let next = self.to.entry(to.into()).or_default();
                *next += 1;
                *next - 1
            }
            None => self.next_tag,
        };
        let payload = format!("{me} {number}").into_bytes();
        let dst = format!("{}:{tag}", to.unwrap_or_default());
        let frame = wire::to_client(&dst, "root", event, &payload);
        self.pending.insert(tag, (to.map(Into::into), payload));
        Some(frame)
    }

    /// Handles a packet if it is part of a request. If `late` is true, postpones the answer.
    pub(super) fn on_packet(
        &mut self,
        view: PacketView<'_>,
        me: &str,
        late: bool,
    ) -> Option<Handled> {
        let dst = std::str::from_utf8(view.dst).unwrap();
        let (addressee, tag) = dst.split_once(':')?;
        assert!(addressee.is_empty() || addressee == me, "a packet for {addressee}");
        match view.event {
            b"roomer:reply" | b"roomer:error" => {
                self.on_answer(view, tag);
                Some(Handled::Nothing)
            }
            _ => {
                let answer = self.on_request(view, tag);
                match late {
                    false => Some(Handled::Answer(answer)),
                    true => {
                        self.postponed.push(answer);
                        Some(Handled::Nothing)
                    }
                }
            }
        }
    }

    fn on_answer(&mut self, view: PacketView<'_>, tag: &str) {
        let (to, payload) =
            self.pending.remove(tag).unwrap_or_else(|| panic!("a second answer to {tag}"));
        let text = String::from_utf8_lossy(view.payload);
        match (view.event, &to) {
            (b"roomer:reply", Some(to)) => {
                assert_eq!((view.src, view.payload), (to.as_bytes(), &*payload), "another answer");
                self.answered += 1;
            }
            (b"roomer:reply", None) => {
                assert_eq!((view.src, view.payload), (&b""[..], &*payload), "another answer");
                self.answered += 1;
            }
            (_, Some(_)) => {
                // The client to which the request was sent may have closed its session.
                let is_gone = text.contains("\"gone\"") && view.src.is_empty();
                assert!(is_gone, "{to:?} answers {text}");
                self.failed += 1;
            }
            (_, None) => panic!("the server answers {text}"),
        }
    }

    /// Checks a request that was received. Returns the packet that answers it.
    fn on_request(&mut self, view: PacketView<'_>, tag: &str) -> Vec<u8> {
        let asker = String::from_utf8(view.src.to_vec()).unwrap();
        if asker.is_empty() {
            assert!(self.seen.insert(tag.into()), "the server asks {tag} twice");
        } else {
            let text = std::str::from_utf8(view.payload).unwrap();
            let (by, number) = text.split_once(' ').expect("an asker and a number");
            let next = self.from.entry(asker.clone()).or_default();
            assert!(by == asker, "a request with another payload");
            assert_eq!(number.parse(), Ok(*next), "a request of {asker} is missing");
            *next += 1;
        }
        let dst = format!("{asker}:{tag}");
        wire::to_client(&dst, "root", "roomer:reply", view.payload)
    }

    /// Removes and returns the answers that were postponed.
    pub(super) fn take_postponed(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.postponed)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// The result of handling a packet.
pub(super) enum Handled {
    Nothing,
    Answer(Vec<u8>),
}
