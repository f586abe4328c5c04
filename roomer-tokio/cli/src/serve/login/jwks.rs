//! A set of keys that is fetched from a URL.
//!
//! It is fetched periodically, because its owner replaces keys.

use std::time::Duration;

use hyper::Uri;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::keys::{self, Key};
use crate::serve::fetch::{Fetcher, check_address};

/// The minimum time between two fetches, however many unknown keys clients present.
const MIN_PAUSE: Duration = Duration::from_secs(3);

/// The maximum time for which a client with an unknown key waits for a fetch.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a set of keys, in bytes.
const MAX_SET: usize = 1 << 20;

/// Fetches a set of keys periodically, and on demand. If a fetch fails, the keys stay unchanged.
pub(crate) struct Refresher {
    address: Uri,
    every: Duration,
    fetcher: Fetcher,
    /// Notified when a client presents an unknown key, in order to request a fetch.
    wanted: Notify,
    /// Whether the last fetch has succeeded. Changes with each completed fetch.
    readings: watch::Sender<bool>,
    last: Mutex<Option<Instant>>,
}

impl Refresher {
    /// Returns true if the set is fetched from this URL.
    pub(super) fn is_at(&self, address: &str) -> bool {
        address.parse::<Uri>().is_ok_and(|address| address == self.address)
    }

    pub(super) fn new(address: &str, every: Duration) -> Result<Refresher, String> {
        Ok(Refresher {
            address: check_address(address)?,
            every: every.max(MIN_PAUSE),
            fetcher: Fetcher::new()?,
            wanted: Notify::new(),
            readings: watch::Sender::new(false),
            last: Mutex::new(None),
        })
    }

    pub(super) async fn run(&self, put: impl Fn(Vec<Key>)) {
        loop {
            let read = self.fetcher.get(&self.address, MAX_SET).await;
            let is_read = match read.and_then(|set| keys::set(&set)) {
                Ok(keys) => {
                    tracing::info!(keys = keys.len(), "keys of tokens read");
                    put(keys);
                    true
                }
                Err(error) => {
                    tracing::warn!(address = %self.address, error, "cannot read the keys of tokens");
                    false
                }
            };
            *self.last.lock().await = Some(Instant::now());
            // Set this after the keys are stored: it wakes waiting clients, whose tokens are then
            // checked with the new keys.
            self.readings.send_replace(is_read);
            sleep(MIN_PAUSE).await;
            // `every` is at least as long as the pause. If a fetch is requested during the pause,
            // the notification is stored, and ends the wait below immediately.
            let rest = if is_read { self.every - MIN_PAUSE } else { Duration::ZERO };
            tokio::select! {
                () = sleep(rest) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Requests a fetch, and waits for it, unless the last one is too recent. Returns false if no fetch
    /// has succeeded in the meantime, so that a new key may be missing.
    pub(super) async fn read_again(&self) -> bool {
        let is_recent = self.last.lock().await.is_some_and(|last| last.elapsed() < MIN_PAUSE);
        // The result of a recent fetch does not count: other clients with unknown keys may cause one
        // every few seconds, and the key may be newer.
        if is_recent {
            return false;
        }
        // Subscribe before the request, so that the end of the fetch cannot be missed.
        let mut readings = self.readings.subscribe();
        self.wanted.notify_one();
        timeout(REFRESH_TIMEOUT, readings.changed()).await.is_ok() && *self.readings.borrow()
    }
}
