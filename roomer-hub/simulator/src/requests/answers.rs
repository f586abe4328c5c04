//! The model's requests between clients, requests by the server, and answers.

use super::marks::Mark;
use super::model::{
    Client, LATE, LONG, Message, Model, NOT_SHARED, OVERDUE_AGE, PLAIN, PendingRequest,
    RESERVED_EVENT, Reason, TOO_MANY, UNKNOWN_DST, UNSOLICITED, WRONG_TAG, is_guest, tag_of,
};
use super::plan::MAX_NAME;

impl Model {
    /// Predicts the output lines for a request from one client to another.
    pub(super) fn ask(
        &mut self,
        client: usize,
        message: &Message,
        (to, tag): (&str, &'static str),
        is_allowed: bool,
    ) -> Result<(), Reason> {
        let receiver = self.receiver(client, to)?;
        let (now, most) = (self.now, self.plan.max_requests);
        let outdated = self.outdated_request(client, tag)?;
        // Count only the requests to connections on this node: each node limits the requests to its
        // own connections.
        let to_receiver =
            self.pending.iter().filter(|ask| receiver.is_some() && ask.to == to).count();
        if to_receiver >= 16 * most {
            self.mark(Mark::ReceiverBusy);
            return Err(TOO_MANY);
        }
        if self.plan.authorize[1] && !is_allowed {
            self.ask_application(client, message, "Direct");
            return Ok(());
        }
        if let Some(at) = outdated {
            self.pending.remove(at);
            self.mark(Mark::Aged);
        }
        self.pending.push(PendingRequest { from: client, to: to.into(), tag, at: now });
        let Message { room, event, dst } = message;
        let packet = [room, event, dst.as_str(), self.clients[client].id, "?"];
        self.marks.mark(receiver == Some(client), Mark::AskedItself);
        match receiver {
            Some(receiver) => {
                self.mark(Mark::Asked);
                self.send(receiver, packet);
            }
            None => {
                self.mark(Mark::Abroad);
                self.lines.push(format!("peer: {packet:?}"));
            }
        }
        Ok(())
    }

    /// Checks the limit on a client's requests. Returns the index of the oldest request if it must be
    /// dropped: the client has too many, and has most likely given up on this one.
    fn outdated_request(&mut self, client: usize, tag: &str) -> Result<Option<usize>, Reason> {
        let own: Vec<usize> =
            (0..self.pending.len()).filter(|at| self.pending[*at].from == client).collect();
        if own.iter().any(|at| self.pending[*at].tag == tag) {
            return Err(WRONG_TAG);
        }
        let outdated = own.first().copied().filter(|_| own.len() >= self.plan.max_requests);
        let is_recent = |at: usize| self.now.saturating_sub(self.pending[at].at) < OVERDUE_AGE;
        if outdated.is_some_and(is_recent) {
            self.mark(Mark::AskBusy);
            return Err(TOO_MANY);
        }
        Ok(outdated)
    }

    /// Returns the receiver of a request, or `None` if it is a guest.
    fn receiver(&mut self, client: usize, to: &str) -> Result<Option<usize>, Reason> {
        match self.find(to) {
            None if !is_guest(to) || self.plan.shared_room_only => {
                self.mark(Mark::NoReceiver);
                Err(UNKNOWN_DST)
            }
            Some(other) if self.plan.shared_room_only && !self.shares(client, other) => {
                self.mark(Mark::NotShared);
                Err(NOT_SHARED)
            }
            Some(other) if !self.clients[other].extended => {
                self.mark(Mark::Plain);
                Err(PLAIN)
            }
            receiver => Ok(receiver),
        }
    }

    /// Predicts the output lines that result when a client answers.
    pub(super) fn client_answers(
        &mut self,
        client: usize,
        message: &Message,
    ) -> Result<(), Reason> {
        let Message { room, event, dst } = message;
        let Client { id, extended, .. } = self.clients[client];
        if !extended {
            self.mark(Mark::PlainAnswer);
            return Err(RESERVED_EVENT);
        }
        if room.len() > MAX_NAME {
            return Err(LONG);
        }
        let tagged = dst.split_once(':').and_then(|(to, tag)| Some((to, tag_of(tag)?)));
        let (to, tag) = tagged.ok_or(WRONG_TAG)?;
        let is_error = *event == "roomer:error";
        if to.is_empty() {
            let number = self.answered_number(client, tag)?;
            self.mark(if is_error { Mark::ServerFailed } else { Mark::ServerAnswered });
            self.lines.push(format!("answered {number} {is_error} {room} {dst} {id}"));
            return Ok(());
        }
        let packet = format!("{:?}", [room, event, dst.as_str(), id, "?"]);
        let Some(asker) = self.find(to) else {
            if !is_guest(to) {
                self.mark(Mark::AskerGone);
                return Err(UNKNOWN_DST);
            }
            self.mark(Mark::ToAbroad);
            self.lines.push(format!("peer: {packet}"));
            return Ok(());
        };
        let of_asker = |ask: &&PendingRequest| ask.from == asker && ask.tag == tag;
        let is_known = self.pending.iter().find(of_asker).is_some();
        let own = |ask: &PendingRequest| ask.from == asker && ask.tag == tag && ask.to == id;
        let Some(at) = self.pending.iter().position(own) else {
            self.mark(if is_known { Mark::Forged } else { Mark::SecondAnswer });
            return Err(UNSOLICITED);
        };
        self.pending.remove(at);
        self.mark(if is_error { Mark::ByError } else { Mark::Answered });
        self.lines.push(format!("c{asker}: {packet}"));
        Ok(())
    }

    /// Removes and returns the number of the server's request that a client answers.
    fn answered_number(&mut self, client: usize, tag: &str) -> Result<u64, Reason> {
        // If the number was never used, the client must have guessed it. If it was used but no
        // request with it is pending, the answer is late.
        let Some(number) = (0..self.next).find(|number| number.to_string() == tag) else {
            self.mark(Mark::Guessed);
            return Err(UNSOLICITED);
        };
        let Some(at) = self.numbers.iter().position(|own| *own == (client, number)) else {
            self.mark(Mark::Late);
            return Err(LATE);
        };
        self.numbers.remove(at);
        Ok(number)
    }

    /// Predicts the output lines that result when a handler answers.
    pub fn answer(&mut self, client: usize, tag: &'static str, is_error: bool) {
        let Some(at) = self.calls.iter().position(|call| *call == (client, tag)) else {
            return self.mark(Mark::AnsweredTwice);
        };
        self.calls.remove(at);
        self.mark(if is_error { Mark::Failed } else { Mark::Replied });
        let (event, text) =
            if is_error { ("roomer:error", "failed") } else { ("roomer:reply", "42") };
        self.send(client, ["root", event, &format!(":{tag}"), "", text]);
    }

    /// Predicts the output lines that result when the server sends a request.
    pub fn request(&mut self, client: usize) {
        let number = self.next;
        // The number counts as used even if the request fails.
        self.next += 1;
        let Client { id, extended, open, .. } = self.clients[client];
        let count = self.numbers.iter().filter(|own| own.0 == client).count();
        let (code, mark) = match () {
            () if !open => ("gone", Mark::ServerAsksGone),
            () if !extended => ("plain", Mark::ServerAsksPlain),
            () if count >= self.plan.max_requests => ("busy", Mark::ServerBusy),
            () => {
                self.mark(Mark::ServerAsks);
                self.numbers.push((client, number));
                let dst = format!("{id}:{number}");
                return self.send(client, ["root", "where", &dst, "", "?"]);
            }
        };
        self.mark(mark);
        self.lines.push(format!("unanswered {number} {code}"));
    }

    pub fn withdraw(&mut self, client: usize, number: u64) {
        let before = self.numbers.len();
        self.numbers.retain(|own| *own != (client, number));
        self.marks.mark(self.numbers.len() < before, Mark::Withdrawn);
    }

    /// Predicts the output lines for the end of a connection.
    pub fn gone(&mut self, client: usize) {
        if !self.clients[client].open {
            return;
        }
        (self.clients[client].open, self.clients[client].unreported) = (false, None);
        let id = self.clients[client].id;
        // First remove the client's own requests: a request to itself must not be answered with an
        // error.
        self.calls.retain(|call| call.0 != client);
        self.pending.retain(|ask| ask.from != client);
        let mut ended = 0;
        while let Some(at) = self.pending.iter().position(|ask| ask.to == id) {
            let PendingRequest { from, tag, .. } = self.pending.remove(at);
            let dst = format!("{}:{tag}", self.clients[from].id);
            self.send(from, ["root", "roomer:error", &dst, "", "gone"]);
            ended += 1;
        }
        self.marks.mark(ended > 0, Mark::ReceiverGone);
        self.marks.mark(ended > 1, Mark::ManyGone);
        while let Some(at) = self.numbers.iter().position(|own| own.0 == client) {
            let (_, number) = self.numbers.remove(at);
            self.mark(Mark::ServerEnded);
            self.lines.push(format!("unanswered {number} gone"));
        }
    }

    pub fn close(&mut self, client: usize, why: &str) {
        if self.clients[client].open {
            self.report_rest(client, Mark::ToldAtClose);
            self.gone(client);
            self.lines.push(format!("close c{client} {why}"));
        }
    }

    /// Predicts the output lines for a direct message from the peer. If `src` is empty, the peer's
    /// server has sent it.
    pub fn peer(&mut self, event: &'static str, src: &str, dst: &str) {
        let packet = format!("{:?}", ["root", event, dst, src, "?"]);
        if let Some(receiver) = self.find(dst) {
            return self.lines.push(format!("c{receiver}: {packet}"));
        }
        let tagged = dst.split_once(':').and_then(|(to, tag)| Some((to, tag_of(tag)?)));
        let Some((to, tag)) = tagged else { return self.count_of_peer("unknown_dst") };
        let receiver = self.find(to);
        if event.starts_with("roomer:") {
            let Some(asker) = receiver else { return self.count_of_peer("unknown_dst") };
            let fits = |ask: &PendingRequest| {
                ask.from == asker && ask.tag == tag && (src.is_empty() || ask.to == src)
            };
            let Some(at) = self.pending.iter().position(fits) else {
                self.mark(Mark::AbroadForged);
                return self.count_of_peer("unasked");
            };
            self.pending.remove(at);
            self.mark(if src.is_empty() { Mark::AbroadByServer } else { Mark::AbroadAnswered });
            return self.lines.push(format!("c{asker}: {packet}"));
        }
        if src.is_empty() {
            return self.count_of_peer("foreign_id");
        }
        let (code, mark) = match receiver {
            Some(receiver) if self.clients[receiver].extended => {
                self.mark(Mark::FromAbroad);
                return self.lines.push(format!("c{receiver}: {packet}"));
            }
            Some(_) => ("plain", Mark::FromAbroadPlain),
            None => ("gone", Mark::FromAbroadGone),
        };
        self.mark(mark);
        let dst = format!("{src}:{tag}");
        self.lines.push(format!("peer: {:?}", ["root", "roomer:error", &dst, "", code]));
    }
}
