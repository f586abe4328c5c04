//! Plans for a hub with peers (the other nodes of a cluster), which have members in the same rooms.
//!
//! These plans drive only the hub. In addition to all other inputs, they contain inputs about
//! peers, and they are checked in the same way. Plans without peers do not use this module, so
//! their hashes do not depend on it.
//!
//! | module | contents |
//! |---|---|
//! | [`op`] | the inputs about peers, and sets of peers |
//! | `model` | the part of the naive model that concerns peers and guests |
//! | `check` | the comparison of the hub's tables and actions concerning guests with the model |
//! | [`generate`] | the generator of plans with peers |
//! | `coverage`, [`marks`] | the marks that a run reaches |
//! | [`steps`] | the conversion of a plan's steps about peers to inputs |
//! | [`report`] | the implementation of the simulation interface for these plans |

pub mod check;
pub mod coverage;
pub mod generate;
pub mod marks;
pub mod model;
pub mod op;
pub mod report;
pub mod steps;
