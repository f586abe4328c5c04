//! Plans for a hub with extended and plain members, which have info and users.
//!
//! The [hub plans](crate::hub) contain only plain clients, so their hashes do not depend on this
//! module. A separate naive model predicts every packet that a client in these plans receives.
//! After each input, each client's view, which consists of its `join_ack` and all changes since,
//! must be right.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`] | a plan as data, and the info and users in plans |
//! | [`generate`] | the generator of plans |
//! | [`model`] | the naive model |
//! | `away`, `guests` | the parts of the model that concern members that are away, and guests |
//! | [`run`] | the execution of a plan by the model and the hub |
//! | `check` | the comparison of the packets that clients receive with the model |
//! | [`view`] | an extended client's view of its rooms, derived from its packets |
//! | `coverage`, [`marks`] | the marks that a run reaches |
//! | [`report`] | the plans as a simulation |

mod away;
mod check;
mod coverage;
pub mod generate;
mod guests;
pub mod marks;
pub mod model;
pub mod plan;
pub mod report;
pub mod run;
pub mod view;
