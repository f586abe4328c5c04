//! A timer for a deadline that moves often.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::super::dial::Dial;
use crate::Environment;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A single sleep of the runtime, for a deadline that usually moves later. The sleep is replaced
/// only if the deadline moves earlier.
#[derive(Default)]
pub(super) struct DeadlineTimer {
    sleep: Option<(Duration, Sleep)>,
}

impl DeadlineTimer {
    /// Returns `Poll::Ready` once `due` has passed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        due: Duration,
        environment: &dyn Environment,
        dial: &impl Dial,
    ) -> Poll<()> {
        loop {
            let now = environment.now();
            if now >= due {
                return Poll::Ready(());
            }
            match &mut self.sleep {
                Some((at, sleep)) if *at <= due => {
                    ready!(sleep.as_mut().poll(cx));
                    self.sleep = None;
                }
                _ => self.sleep = Some((due, Box::pin(dial.sleep(due - now)))),
            }
        }
    }
}
