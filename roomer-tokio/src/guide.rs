//! Pages to read, with code that is compiled and run.

#[doc(inline)]
pub use roomer_engine::contract;
#[doc(inline)]
pub use roomer_engine::scope;

#[doc = include_str!("../guide/migration.md")]
pub mod migration {}

#[doc = include_str!("../guide/tuning.md")]
pub mod tuning {}
