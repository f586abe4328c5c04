//! Plans for a hub with extended and plain members, with info and users.
//!
//! The other plans have plain clients only, so that their hashes stay. These are checked by a naive
//! model of their own, which predicts every packet that each client gets, and by the clients' views:
//! `join_ack` with all changes since has to be the truth after each input.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`] | a plan as data, and the infos and users that plans are made of |
//! | [`generate`] | how a seed generates a plan |
//! | [`model`] | the naive model |
//! | [`run`] | runs a plan: gives each step to the model and the hub |
//! | `check` | compares what each client gets with the model |
//! | [`view`] | what an extended client knows of its rooms, derived from its packets |
//! | `coverage`, [`marks`] | records which situations a run has reached |
//! | [`report`] | the plans as a simulation |

mod check;
mod coverage;
pub mod generate;
pub mod marks;
pub mod model;
pub mod plan;
pub mod report;
pub mod run;
pub mod view;
