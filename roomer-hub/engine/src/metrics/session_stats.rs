//! Counters of extended clients' sessions that were refused or released.

/// The number of clients' failed attempts to resume their sessions, by reason. Each such client
/// received a new session, except those counted as `closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedSessions {
    /// The session has ended or belongs to another process, or its token is wrong.
    pub unknown: u64,
    /// The session belongs to another cluster node, which did not hand it over and was notified.
    pub other_node: u64,
    /// The session belongs to another user ([`Claims::user`](crate::Claims::user)).
    pub other_user: u64,
    /// The session no longer has the packets that the client has missed, or never sent those that the
    /// client claims to have received.
    pub incomplete: u64,
    /// The application has closed the session with a final code, while the client could not receive
    /// it. The client was closed with the same code and reason, which counts each time, on the
    /// session's node.
    pub closed: u64,
}

impl RefusedSessions {
    /// Returns each count with its field's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let RefusedSessions { unknown, other_node, other_user, incomplete, closed } = *self;
        let counts = [("unknown", unknown), ("other_node", other_node), ("closed", closed)];
        counts.into_iter().chain([("other_user", other_user), ("incomplete", incomplete)])
    }
}

/// The number of reports from other cluster nodes that a client of this node now has a session on
/// the reporting node, by effect. Part of [`SessionStats`](crate::SessionStats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReleasedSessions {
    /// Sessions without a socket that ended because of a report.
    pub detached: u64,
    /// Sessions that ended because of a report, either while their old socket still appeared to be
    /// open or when it was lost.
    pub attached: u64,
    /// Reports without an effect: the session has ended or belongs to another user, or the proof is
    /// wrong.
    pub unknown: u64,
}

impl ReleasedSessions {
    /// Returns each count with its field's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let ReleasedSessions { detached, attached, unknown } = *self;
        [("detached", detached), ("attached", attached), ("unknown", unknown)].into_iter()
    }
}
