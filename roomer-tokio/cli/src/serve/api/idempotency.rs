//! Idempotent requests: a repeated request receives the answer to the first one.
//!
//! A program that does not know whether its request has arrived may therefore send it again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::HeaderMap;
use ring::digest::{Context, SHA256};
use serde_json::Value;

use super::Answer;
use super::error::Error;

/// The time for which an answer is kept.
const KEPT: Duration = Duration::from_secs(600);

/// The maximum number of answers that are kept. The oldest are dropped first.
const MAX_ANSWERS: usize = 10_000;

/// The maximum length of an `Idempotency-Key`, in bytes.
const MAX_KEY: usize = 128;

/// The answers that are kept, by the name of the API key and the `Idempotency-Key`.
#[derive(Default)]
pub(super) struct Answers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<Id, (Vec<u8>, Value)>,
    /// For each answer, the time at which it expires and its key, oldest first.
    order: VecDeque<(Instant, Id)>,
}

type Id = (String, String);

impl Answers {
    /// Runs a request. If the same request was run before and has succeeded, returns the first
    /// answer instead. The requests are the same if all of their `parts` are equal.
    pub(super) fn once(
        &self,
        owner: &str,
        headers: &HeaderMap,
        parts: &[&[u8]],
        run: impl FnOnce() -> Answer,
    ) -> Answer {
        let Some(key) = headers.get("idempotency-key") else { return run() };
        let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
        let key = key.ok_or_else(|| {
            Error::invalid(format!(
                "Idempotency-Key must have 1 to {MAX_KEY} visible ASCII characters"
            ))
        })?;
        let id = (owner.to_owned(), key.to_owned());
        let print = fingerprint(parts);
        // Hold the lock until the answer is known, so that two equal requests at the same time do
        // not both run.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.forget(now);
        if let Some((before, answer)) = kept.answers.get(&id) {
            return match *before == print {
                true => Ok(Json(answer.clone())),
                false => Err(Error::new(
                    422,
                    "idempotency",
                    "this Idempotency-Key was used for another request",
                )),
            };
        }
        let answer = run()?;
        kept.answers.insert(id.clone(), (print, answer.0.clone()));
        kept.order.push_back((now, id));
        Ok(answer)
    }
}

impl Kept {
    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front() {
            if self.order.len() < MAX_ANSWERS && now.duration_since(*at) < KEPT {
                return;
            }
            if let Some((_, id)) = self.order.pop_front() {
                self.answers.remove(&id);
            }
        }
    }
}

/// Returns a hash of all parts and their lengths.
fn fingerprint(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // Without the lengths, the same bytes divided differently would have the same hash.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_answers_are_bounded_in_number_and_time() {
        let mut kept = Kept::default();
        let start = Instant::now();
        for n in 0..2 * MAX_ANSWERS {
            kept.forget(start);
            let id = (String::new(), n.to_string());
            kept.answers.insert(id.clone(), (Vec::new(), Value::Null));
            kept.order.push_back((start, id));
        }
        assert_eq!((kept.answers.len(), kept.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        kept.forget(start + KEPT);
        assert!(kept.answers.is_empty());
    }
}
