//! Plans for a hub with extended and plain members, with info and users.
//!
//! The other plans have plain clients only, so their hashes stay unchanged. A separate naive model
//! predicts every packet that each of these plans' clients receives. The clients' views, which are
//! the `join_ack` plus all changes since, must be right after each input.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`] | a plan as data, and the member info and users that plans use |
//! | [`generate`] | generates plans from seeds |
//! | [`model`] | the naive model |
//! | `away`, `guests` | the parts of the model for members that are away, and for guests |
//! | [`run`] | runs a plan: passes each step to the model and the hub |
//! | `check` | compares the packets that each client receives with the model |
//! | [`view`] | an extended client's view of its rooms, derived from its packets |
//! | `coverage`, [`marks`] | sets the marks that a run reaches |
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
