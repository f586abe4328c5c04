//! Runs many seeds on several threads. The result does not depend on the number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::simulation::Simulation;

/// The number of seeds that a thread takes at a time.
const BATCH: u64 = 64;

/// The maximum number of failures that are kept with their descriptions. Further failures are only
/// counted.
const MAX_EXAMPLES: usize = 8;

/// The combined outcomes of many seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub steps: u64,
    /// The hashes of all seeds, combined in a way that does not depend on their order.
    pub hash: u64,
    pub marks: u128,
    pub failures: u64,
    /// The lowest seeds that have failed, each with a description.
    pub examples: Vec<(u64, String)>,
}

impl Summary {
    /// Returns the names of marks that no seed has reached.
    pub fn missing<S: Simulation>(&self) -> Vec<&'static str> {
        let marks = S::MARKS.iter().enumerate();
        marks.filter(|(at, _)| self.marks & 1 << at == 0).map(|(_, mark)| *mark).collect()
    }

    fn add(&mut self, other: Summary) {
        self.steps += other.steps;
        // Use a sum, since threads complete their seeds in any order.
        self.hash = self.hash.wrapping_add(other.hash);
        self.marks |= other.marks;
        self.failures += other.failures;
        self.examples.extend(other.examples);
        // Keep the lowest seeds, so that the result does not depend on the speed of the threads.
        self.examples.sort();
        self.examples.truncate(MAX_EXAMPLES);
    }
}

/// Runs `count` seeds, the first of which is `start`. Calls `progress` with the numbers of
/// completed and failed seeds so far.
pub fn run_seeds<S: Simulation>(
    start: u64,
    count: u64,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Summary {
    let (next, sum) = (AtomicU64::new(0), Mutex::new((0, Summary::default())));
    let work = || {
        loop {
            // Relaxed ordering suffices, since the counter does not publish any other memory.
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= count {
                return;
            }
            let last = count.min(first + BATCH);
            let mut batch = Summary::default();
            for seed in start + first..start + last {
                batch.add(run_seed::<S>(seed));
            }
            let Ok(mut sum) = sum.lock() else { return };
            sum.1.add(batch);
            sum.0 += last - first;
            // Call `progress` under the lock, so that its numbers never decrease.
            progress(sum.0, sum.1.failures);
        }
    };
    thread::scope(|scope| {
        // The calling thread is a worker too.
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    sum.into_inner().map_or_else(|_| Summary::default(), |(_, sum)| sum)
}

fn run_seed<S: Simulation>(seed: u64) -> Summary {
    let outcome = S::run(seed);
    let failures = u64::from(outcome.fault.is_some());
    let examples = outcome.fault.into_iter().map(|fault| (seed, fault)).collect();
    // Weight each hash with its seed, so that the sum changes if two seeds swap their hashes.
    let hash = outcome.hash.wrapping_mul(2 * seed + 1);
    Summary { steps: outcome.steps, hash, marks: outcome.marks, failures, examples }
}
