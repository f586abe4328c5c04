//! Coverage marks for the client plans.

crate::coverage::marks! {
    Resumed = "a session that continues",
    SeveralReturns = "three returns of one client",
    Outdated = "a session that has ended before its client is back",
    Anew = "a plain client that is back",
    Disconnect = "a connection that breaks",
    Dark = "a connection that silently loses everything",
    Unreachable = "an attempt while the server cannot be reached",
    Lost = "a message that is reported as lost",
    Queued = "a message that is sent without a connection",
    Crossing = "a message of one client to another that is away",
    Rejoined = "a room that is joined again",
    JoinedAway = "a room that is joined without a connection",
    Left = "a room that is left",
    LeftAway = "a room that is left without a connection",
}
