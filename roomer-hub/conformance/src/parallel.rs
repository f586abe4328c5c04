//! Runs a test's cases concurrently, since they mostly wait.

use std::thread::{self, JoinHandle};

/// Runs a test for each case, in a thread with the case's name, which appears in panic messages.
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
