//! Stubs used without the `deflate` feature, when compression is never negotiated.

use bytes::Bytes;
use roomer_proto::websocket::{self, Kind, Violation};

#[derive(Clone, Debug)]
pub(crate) enum CompressedBatch {}

impl CompressedBatch {
    pub(crate) fn new(_: Bytes, _: usize) -> Option<Self> {
        None
    }

    pub(crate) fn contains(&self, _: &Bytes) -> bool {
        match *self {}
    }

    pub(crate) fn part(&self, _: &Bytes) -> Bytes {
        match *self {}
    }

    pub(crate) fn made(&self) -> Option<&Bytes> {
        match *self {}
    }
}

pub(crate) fn inflate(_: Kind, _: &[u8], _: usize) -> Result<Vec<u8>, Violation> {
    // This function is never called: compression is never negotiated, so the decoder rejects
    // compressed frames.
    Ok(Vec::new())
}

pub(crate) fn echo(kind: Kind, data: &[u8], frame: &mut Vec<u8>) {
    websocket::message_frame(kind, data, frame);
}
