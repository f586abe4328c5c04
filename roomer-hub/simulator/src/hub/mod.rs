//! Plans for the hub alone, which is checked after each input.
//!
//! | module | contents |
//! |---|---|
//! | [`plan`], [`generate`] | a plan as data, and its generation from a seed |
//! | [`op`] | the hub's inputs and their effects, with numbers in place of keys |
//! | [`model`], [`token_bucket`] | the naive model, which predicts the effects of each input |
//! | [`clients`] | the clients' views of their rooms, derived from the packets that they receive |
//! | [`checker`], `compare`, `tables` | the comparison of the hub with the model and the clients' views |
//! | [`run`] | the execution of a plan |
//! | [`guests`] | plans with peers: members on other nodes |
//! | `coverage`, `marks` | the marks that a run reaches |
//! | [`report`], [`display`] | the shrinking of a failing plan, and its text as a test |
//! | [`explore`] | the breadth-first search of all orders of a few clients' steps |

pub mod checker;
pub mod clients;
mod compare;
mod coverage;
pub mod display;
pub mod explore;
pub mod generate;
pub mod guests;
pub mod marks;
pub mod model;
pub mod op;
pub mod plan;
pub mod report;
pub mod run;
mod tables;
pub mod token_bucket;
