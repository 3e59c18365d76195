//! Full paths of GitLab's groups and projects.

/// Whether the project or group of path `inner` lies below the group of path `outer`.
#[must_use]
pub fn lies_under(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::lies_under;

    #[test]
    fn a_project_lies_under_its_own_group_only() {
        assert!(lies_under("acme/payments/api", "acme"));
        assert!(lies_under("acme/payments/api", "acme/payments"));
        assert!(!lies_under("acme-evil/api", "acme"));
        assert!(!lies_under("acme", "acme"));
    }
}
