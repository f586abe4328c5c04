//! What the test against the model is made of.

pub(crate) mod check;
pub(crate) mod corners;
pub(crate) mod naive;
pub(crate) mod plan;
pub(crate) mod world;
