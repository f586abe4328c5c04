//! Runs the cases of a test concurrently, since they spend most of their time waiting.

use std::thread::{self, JoinHandle};

/// Runs a test for each case, each in a thread that has the case's name. Messages of panics contain
/// that name.
pub fn at_once<T: Send + 'static>(
    cases: impl IntoIterator<Item = (String, T)>,
    test: impl Fn(T) + Clone + Send + 'static,
) {
    let tests: Vec<(String, JoinHandle<()>)> = cases
        .into_iter()
        .map(|(name, case)| {
            let (test, thread) = (test.clone(), thread::Builder::new().name(name.clone()));
            (name, thread.spawn(move || test(case)).unwrap())
        })
        .collect();
    let failed = tests.into_iter().filter_map(|(name, test)| test.join().err().map(|_| name));
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
