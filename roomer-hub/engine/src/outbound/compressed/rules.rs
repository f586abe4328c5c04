//! The rules that select the messages to compress.

use roomer_hub::RoomPattern;

/// The patterns of rooms whose messages are compressed, and the minimum length of a message to
/// compress.
#[derive(Debug)]
pub(crate) struct CompressionRules {
    patterns: Vec<(RoomPattern, usize)>,
    /// The lowest threshold of all rules, so that a shorter message costs only one comparison.
    least: usize,
}

impl Default for CompressionRules {
    fn default() -> Self {
        // The default is not derived, since without rules the lowest threshold is `usize::MAX`, not
        // 0.
        CompressionRules::new(&[])
    }
}

impl CompressionRules {
    pub(crate) fn new(patterns: &[(String, usize)]) -> Self {
        let least = patterns.iter().map(|(_, threshold)| *threshold).min().unwrap_or(usize::MAX);
        let new = |(pattern, threshold): &(String, usize)| (RoomPattern::new(pattern), *threshold);
        CompressionRules { patterns: patterns.iter().map(new).collect(), least }
    }

    /// Returns a room's threshold if a frame of this length may reach it. In most cases, this is
    /// `None`.
    #[inline]
    pub(crate) fn threshold(&self, room: &str, len: usize) -> Option<usize> {
        if len < self.least {
            return None;
        }
        self.find(room).filter(|threshold| len >= *threshold)
    }

    #[cold]
    fn find(&self, room: &str) -> Option<usize> {
        let found = self.patterns.iter().find(|(pattern, _)| pattern.matches(room));
        found.map(|(_, threshold)| *threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_matching_pattern_applies() {
        let patterns = [("chat/secret".into(), usize::MAX), ("chat/*".into(), 100)];
        let rules = CompressionRules::new(&patterns);
        assert_eq!(rules.threshold("chat/a", 99), None);
        assert_eq!(rules.threshold("chat/a", 100), Some(100));
        assert_eq!(rules.threshold("chat/secret", 1 << 20), None);
        assert_eq!(rules.threshold("other", 1 << 20), None);
        assert_eq!(CompressionRules::default().threshold("chat/a", 1 << 20), None);
    }
}
