//! Plans for a hub with peers: members on a cluster's other nodes.
//!
//! These plans drive only the hub, with interleaved inputs about peers, and are checked like others.
//! Plans without peers do not use this module, so their hashes stay unchanged.
//!
//! | module | contents |
//! |---|---|
//! | [`op`] | an input about a peer, and sets of peers |
//! | `model` | the part of the naive model for peers and guests |
//! | `check` | compares the hub's tables and actions about guests with the model |
//! | [`generate`] | generates plans with peers from seeds |
//! | `coverage`, [`marks`] | sets the marks that a run reaches |
//! | [`steps`] | a plan's steps about peers |
//! | [`report`] | the plans as a simulation |

pub mod check;
pub mod coverage;
pub mod generate;
pub mod marks;
pub mod model;
pub mod op;
pub mod report;
pub mod steps;
