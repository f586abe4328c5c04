//! Delta debugging: what fails is made as short and as plain as it can be, and still fails.

/// Takes items out for as long as the rest still fails: halves, quarters, ... single ones, until
/// not one of them can be missed.
pub fn shorten<T: Clone>(items: &mut Vec<T>, mut fails: impl FnMut(&[T]) -> bool) {
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < items.len() {
            let mut rest = items[..at].to_vec();
            rest.extend_from_slice(&items[items.len().min(at + size)..]);
            if fails(&rest) {
                (*items, shorter) = (rest, true);
            } else {
                at += size;
            }
        }
        if size > 1 || !shorter {
            size /= 2;
        }
    }
}

/// Puts plainer items in the place of each, for as long as all still fails. `plainer` gives what
/// may stand for an item, the plainest first; it must not go round in circles.
pub fn simplify<T: Clone>(
    items: &mut [T],
    plainer: impl Fn(&T) -> Vec<T>,
    mut fails: impl FnMut(&[T]) -> bool,
) {
    for at in 0..items.len() {
        while let Some(found) = plainer(&items[at]).into_iter().find(|other| {
            let mut changed = items.to_vec();
            changed[at] = other.clone();
            fails(&changed)
        }) {
            items[at] = found;
        }
    }
}
