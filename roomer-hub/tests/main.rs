//! Tests of the hub, in one program, so that only one must be compiled and linked.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod cluster;
mod cluster_away;
mod cluster_info;
mod cluster_order;
mod cluster_policies;
mod cluster_tunnels;
mod cluster_users;
mod cluster_versions;
mod cluster_windows;
mod crowd;
mod guests;
mod history;
mod member_info;
mod peers;
mod requests;
mod transcripts;
mod values;

mod support {
    pub(crate) mod check;
    pub(crate) mod exchange;
    pub(crate) mod interpreter;
    pub(crate) mod net;
    pub(crate) mod node;
}
