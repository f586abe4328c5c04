//! Delta debugging: makes a failing input as short and simple as possible.

/// Removes items while the remaining ones still fail: halves, quarters and so on, down to single
/// items, until no single item can be removed.
pub fn shorten<T: Clone>(items: &mut Vec<T>, mut fails: impl FnMut(&[T]) -> bool) {
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < items.len() {
            let mut rest = items[..at].to_vec();
            rest.extend_from_slice(&items[items.len().min(at + size)..]);
            if fails(&rest) {
                // Do not advance, since other items now occupy this position.
                (*items, shorter) = (rest, true);
            } else {
                at += size;
            }
        }
        // Repeat the pass over single items, since one removal may make another one possible.
        if size > 1 || !shorter {
            size /= 2;
        }
    }
}

/// Replaces items with simpler ones while the list still fails. `simpler` returns an item's
/// possible replacements, simplest first, and must not contain cycles.
pub fn simplify<T: Clone>(
    items: &mut [T],
    simpler: impl Fn(&T) -> Vec<T>,
    mut fails: impl FnMut(&[T]) -> bool,
) {
    for at in 0..items.len() {
        // Try again with the replacement, which may have simpler replacements.
        while let Some(found) = simpler(&items[at]).into_iter().find(|other| {
            let mut changed = items.to_vec();
            changed[at] = other.clone();
            fails(&changed)
        }) {
            items[at] = found;
        }
    }
}
