//! Expects the errors about a client's rejected packets.

use super::harness::Harness;
use super::item::What;
use super::marks::Mark;
use super::session::Packet;
use crate::fault::{Fault, ensure};
use crate::hub::token_bucket::{Bucket, Quota, RateSpec};
use crate::server::expected::Order;

/// The limit on the rate of errors for a client's rejected packets: per second, and burst.
const ERRORS: RateSpec = (16, 16);

/// A client's rejected packets, and the errors about them.
#[derive(Debug, Default)]
pub struct Rejections {
    bucket: Option<Bucket>,
    /// The packets that were rejected since the last error without an error of their own: the
    /// unfinished payload of an error about the first one, and the number of packets.
    unreported: Option<(String, u64)>,
    /// For each rejected packet, the number of packets handled up to it, and the number of the
    /// error that reports it.
    packets: Vec<(usize, Option<usize>)>,
    /// The number of errors that the client must receive, including those it has received.
    sent: usize,
    /// The number of errors that the client has received.
    pub received: usize,
}

impl Rejections {
    /// Completes the payload of an error, which reports all packets rejected since the last error.
    fn report(&mut self, mut payload: String, more: u64) -> What {
        if more > 0 {
            payload += &format!(",\"more\":{more}");
        }
        payload.push('}');
        let unreported = self.packets.iter_mut().rev().take_while(|(_, error)| error.is_none());
        unreported.for_each(|(_, error)| *error = Some(self.sent));
        self.sent += 1;
        What::Extended { room: "root", event: "roomer:error", payload }
    }

    /// Checks that an error reports each rejected packet among the first `count` packets. Unless
    /// `is_replay` is true, the client must have received these errors.
    pub fn check_acknowledged(&self, count: usize, is_replay: bool) -> Result<(), Fault> {
        let known = if is_replay { self.sent } else { self.received };
        let mut covered = self.packets.iter().take_while(|(place, _)| *place <= count);
        let silent = covered.find(|(_, error)| error.is_none_or(|error| error >= known));
        ensure!(silent.is_none(), "{count} acknowledged, and no error reports {silent:?}");
        Ok(())
    }
}

impl Harness<'_> {
    /// Expects an error to an extended client whose packet was rejected, unless the limit on errors
    /// is exceeded.
    pub(super) fn expect_error(
        &mut self,
        number: usize,
        packet: &Packet,
        code: &str,
        message: &str,
    ) {
        let now = self.now();
        let session = &mut self.sessions[number];
        if !session.is_extended {
            return;
        }
        let (client, place, of) = (session.client, session.handled, &mut session.rejections);
        of.packets.push((place, None));
        let (room, event) = (packet.room, packet.event);
        let payload = format!(
            "{{\"code\":\"{code}\",\"message\":\"{message}\",\"room\":\"{room}\",\"event\":\"{event}\""
        );
        if Bucket::take(&mut of.bucket, Quota::Messages, ERRORS, now, 1).is_granted() {
            let more = of.unreported.take().map_or(0, |(_, count)| count);
            let what = of.report(payload, more);
            self.marks.mark(more > 0, Mark::MoreErrors);
            self.expect(now, client, Order::Direct, what);
        } else {
            of.unreported.get_or_insert((payload, 0)).1 += 1;
        }
    }

    /// Expects the error about the packets that were rejected without one.
    pub(super) fn expect_unreported(&mut self, number: usize) {
        let now = self.now();
        let session = &mut self.sessions[number];
        let (client, of) = (session.client, &mut session.rejections);
        if let Some((payload, count)) = of.unreported.take() {
            let what = of.report(payload, count - 1);
            self.expect(now, client, Order::Direct, what);
        }
    }

    /// Checks that the server reports rejected packets only before it acknowledges packets, and
    /// only if there are any.
    pub(super) fn check_reported(&mut self, number: usize, is_own: bool) -> Result<(), Fault> {
        let of = &self.sessions[number].rejections;
        ensure!(of.unreported.is_some(), "session {number} has no packets to report");
        self.marks.mark(is_own, Mark::ReportedBeforeAck);
        self.marks.mark(!is_own, Mark::ReportedAtResume);
        self.expect_unreported(number);
        Ok(())
    }
}
