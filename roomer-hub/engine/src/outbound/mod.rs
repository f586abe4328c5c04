//! The way of a message from the hub to sockets: batch → outbox → socket.

pub(crate) mod available_memory;
pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod chunk;
pub(crate) mod flush_pool;
pub(crate) mod outbox;
pub(crate) mod shed;
