//! The guide. Its code examples are compiled and run as tests.

#[doc(inline)]
pub use roomer_engine::contract;
#[doc(inline)]
pub use roomer_engine::scope;

#[doc = include_str!("../guide/cluster.md")]
pub mod cluster {}

#[doc = include_str!("../guide/migration.md")]
pub mod migration {}

#[doc = include_str!("../guide/tuning.md")]
pub mod tuning {}
