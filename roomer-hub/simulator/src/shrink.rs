//! Delta debugging: makes a failing list of items as short and simple as possible.

/// Removes items as long as the list still fails: first halves, then quarters and so on, down to
/// individual items. Ends when no item can be removed.
pub fn shorten<T: Clone>(items: &mut Vec<T>, mut fails: impl FnMut(&[T]) -> bool) {
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < items.len() {
            let mut rest = items[..at].to_vec();
            rest.extend_from_slice(&items[items.len().min(at + size)..]);
            if fails(&rest) {
                // Do not advance: other items are at this position now.
                (*items, shorter) = (rest, true);
            } else {
                at += size;
            }
        }
        // Repeat the pass over individual items: the removal of one may allow the removal of
        // another.
        if size > 1 || !shorter {
            size /= 2;
        }
    }
}

/// Replaces items with simpler ones as long as the list still fails. `simpler` returns the possible
/// replacements of an item, the simplest first; following them must not lead back to the item.
pub fn simplify<T: Clone>(
    items: &mut [T],
    simpler: impl Fn(&T) -> Vec<T>,
    mut fails: impl FnMut(&[T]) -> bool,
) {
    for at in 0..items.len() {
        // The replacement may have simpler replacements itself, so try again.
        while let Some(found) = simpler(&items[at]).into_iter().find(|other| {
            let mut changed = items.to_vec();
            changed[at] = other.clone();
            fails(&changed)
        }) {
            items[at] = found;
        }
    }
}
