//! Counting lines in the unified diffs that GitLab's commit API gives: it has no counts per file.

/// Lines added and removed in `diff`, which starts at its first hunk.
#[must_use]
pub fn count_lines(diff: &str) -> (u32, u32) {
    let mut counts = (0, 0);
    for line in diff.lines() {
        match line.as_bytes().first() {
            Some(b'+') => counts.0 += 1,
            Some(b'-') => counts.1 += 1,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_counted_and_contexts_are_not() {
        assert_eq!(count_lines("@@ -1,2 +1,3 @@\n a\n-b\n+c\n+d\n\\ No newline at end of file\n"), (2, 1));
        assert_eq!(count_lines(""), (0, 0));
    }
}
