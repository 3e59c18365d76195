//! What exists on a site besides provider data: issues, projects, services, users.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The issues, projects and services of a site. Everything not declared is unknown. Keys are case-sensitive.
#[derive(Debug, Default)]
pub(super) struct Known {
    issues: BTreeSet<String>,
    ranges: BTreeMap<String, Vec<RangeInclusive<u64>>>,
    projects: BTreeSet<String>,
    services: BTreeSet<String>,
}

impl Known {
    pub(super) fn add_issue(&mut self, key: &str) {
        if let Some((project, _)) = key.rsplit_once('-') {
            self.projects.insert(project.to_owned());
        }
        self.issues.insert(key.to_owned());
    }

    pub(super) fn add_range(&mut self, project: &str, numbers: RangeInclusive<u64>) {
        self.projects.insert(project.to_owned());
        self.ranges.entry(project.to_owned()).or_default().push(numbers);
    }

    pub(super) fn add_project(&mut self, project: &str) {
        self.projects.insert(project.to_owned());
    }

    pub(super) fn add_service(&mut self, service: &str) {
        self.services.insert(service.to_owned());
    }

    pub(super) fn remove_issue(&mut self, key: &str) {
        self.issues.remove(key);
    }

    pub(super) fn has_issue(&self, key: &str) -> bool {
        self.issues.contains(key)
            || key.rsplit_once('-').is_some_and(|(project, number)| self.in_range(project, number))
    }

    fn in_range(&self, project: &str, number: &str) -> bool {
        // A number in any other than its shortest form is not part of an issue key.
        let Some(parsed) = number.parse::<u64>().ok().filter(|parsed| parsed.to_string() == number) else {
            return false;
        };
        self.ranges.get(project).is_some_and(|ranges| ranges.iter().any(|range| range.contains(&parsed)))
    }

    pub(super) fn has_project(&self, project: &str) -> bool {
        self.projects.contains(project)
    }

    pub(super) fn has_service(&self, service: &str) -> bool {
        self.services.contains(service)
    }

    /// The issues declared one by one; ranges are not spelled out.
    pub(super) fn listed_issues(&self) -> impl Iterator<Item = &String> {
        self.issues.iter()
    }
}

/// A Jira user. Built with [`User::new`] and the methods after it.
#[derive(Clone, Debug)]
pub struct User {
    pub(super) account_id: String,
    pub(super) display_name: String,
    pub(super) email: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) permissions: Vec<String>,
}

impl User {
    /// A user in no group, without permissions.
    #[must_use]
    pub fn new(account_id: &str, display_name: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            display_name: display_name.to_owned(),
            email: None,
            groups: Vec::new(),
            permissions: Vec::new(),
        }
    }

    /// A member of `site-admins` with the global permission ADMINISTER.
    #[must_use]
    pub fn admin(account_id: &str, display_name: &str) -> Self {
        Self::new(account_id, display_name).in_group("site-admins").with_permission("ADMINISTER")
    }

    /// Adds a group.
    #[must_use]
    pub fn in_group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }

    /// Adds a global permission.
    #[must_use]
    pub fn with_permission(mut self, permission: &str) -> Self {
        self.permissions.push(permission.to_owned());
        self
    }

    /// Sets the e-mail address, by which commits and reviews find their Jira user.
    #[must_use]
    pub fn with_email(mut self, email: &str) -> Self {
        self.email = Some(email.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_exactly_its_issues() {
        let mut known = Known::default();
        known.add_range("PAY", 1..=50);
        for key in ["PAY-1", "PAY-50"] {
            assert!(known.has_issue(key), "{key}");
        }
        for key in ["PAY-0", "PAY-51", "PAY-01", "pay-1", "Pay-1", "PAY-", "PAY", "OPS-1", "PAY-1x"] {
            assert!(!known.has_issue(key), "{key}");
        }
        assert!(known.has_project("PAY") && !known.has_project("pay"));
    }

    #[test]
    fn single_issues_bring_their_project() {
        let mut known = Known::default();
        known.add_issue("OPS-7");
        assert!(known.has_issue("OPS-7") && known.has_project("OPS") && !known.has_issue("OPS-8"));
        known.remove_issue("OPS-7");
        assert!(!known.has_issue("OPS-7") && known.has_project("OPS"));
    }
}
