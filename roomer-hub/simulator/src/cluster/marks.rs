//! Coverage marks for the cluster plans.

use crate::coverage::marks;

marks! {
    LargeFrame = "a frame of more than 60,000 bytes",
    Crash = "a node crashed",
    Restart = "a node started again",
    LongSleep = "a node was suspended for longer than the silence timeout",
    Stop = "a node stopped cleanly",
    Noise = "a frame from outside the cluster",
    RemoteCommand = "a command about a connection of another node",
    Repaired = "a gap was closed without a loss",
    Gap = "a missing frame did not arrive in time",
    Missing = "a missing frame was not in the journal",
    RepairedUnheld = "frames were repaired by a node that holds none",
    Stream = "a stream was given up by its sender",
    Bye = "a peer said goodbye",
    Silent = "a peer was silent for too long",
    NoState = "a peer did not answer a request for its members",
    Overflow = "too many bytes waited for the broker",
    Foreign = "a peer of another version",
    Closed = "clients were closed because of a loss",
    OrderLost = "a message lost its place in a room with one order",
    OwnLost = "a message of the node itself lost its place",
    InfoChanged = "a change of a client's info",
    Away = "a client that is away",
    Returned = "a client returned to another node, and its session ended",
    Forged = "a client returned to another node with the token of another",
    UserReached = "a message to a user reached a connection on another node",
    SlowRest = "the nodes took long to agree",
}
