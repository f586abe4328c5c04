//! A tap on the link between a node and a real broker, which observes and changes the frames.

use std::sync::Arc;
use std::task::{Context, Poll};

use roomer_engine::Bytes;
use roomer_engine::cluster::{Carrier, CarrierEvent, Subject};

type Change = Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>;

/// A function that is applied to the frames on a link.
#[derive(Clone)]
pub(crate) struct Tap {
    pub(crate) received: Change,
    pub(crate) published: Change,
}

impl Default for Tap {
    fn default() -> Tap {
        Tap { received: Arc::new(|frame| frame), published: Arc::new(|frame| frame) }
    }
}

impl Tap {
    pub(crate) fn wrap(self, link: impl Carrier) -> impl Carrier {
        Tapped { tap: self, link }
    }
}

struct Tapped<C> {
    tap: Tap,
    link: C,
}

impl<C: Carrier> Carrier for Tapped<C> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<CarrierEvent> {
        self.link.poll_event(cx).map(|event| match event {
            CarrierEvent::Frame(frame) => CarrierEvent::Frame((self.tap.received)(frame)),
            event => event,
        })
    }

    fn publish(&mut self, to: Subject, frame: Bytes) -> bool {
        self.link.publish(to, (self.tap.published)(frame))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_close(cx)
    }
}
