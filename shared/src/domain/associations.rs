//! What an entity is filed under at Jira: issues, and services, which Jira takes for builds and deployments beside them and no
//! event names yet. How keys are found in texts belongs to `issue_keys`; how associations are sent, to `sync`.

use super::IssueKeys;

/// Jira takes at most this many values over all associations of one entity.
pub const MAX_ASSOCIATIONS: usize = 500;

/// A service at Jira, by its id or its key: a value of an association of type `serviceIdOrKeys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service(pub String);

/// The associations of one entity, at most [`MAX_ASSOCIATIONS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Associations {
    /// The issues it names.
    pub issue_keys: IssueKeys,
    services: Vec<Service>,
}

impl Associations {
    /// The same with services: as many as there is room for beside the issues.
    #[must_use]
    pub fn with_services(mut self, mut services: Vec<Service>) -> Self {
        services.truncate(MAX_ASSOCIATIONS.saturating_sub(self.issue_keys().len()));
        self.services = services;
        self
    }

    /// The same under those of its issues that may be sent.
    #[must_use]
    pub fn with_issue_keys(&self, issue_keys: IssueKeys) -> Self {
        Self { issue_keys, services: self.services.clone() }
    }

    /// Whether there is none, so that Jira would show the entity nowhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issue_keys.is_empty() && self.services.is_empty()
    }

    /// The services.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The keys of the issues.
    #[must_use]
    pub fn issue_keys(&self) -> &[String] {
        self.issue_keys.as_slice()
    }
}

impl From<IssueKeys> for Associations {
    fn from(issue_keys: IssueKeys) -> Self {
        Self { issue_keys, services: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::KeyFilter;

    #[test]
    fn issues_and_services_share_the_room() {
        let texts: Vec<String> = (1..MAX_ASSOCIATIONS).map(|number| format!("PAY-{number}")).collect();
        let issues = Associations::from(IssueKeys::extract(texts.iter().map(String::as_str)));
        assert_eq!(issues.issue_keys().len(), MAX_ASSOCIATIONS - 1);
        let services = ["service-1", "service-2"].map(|id| Service(id.to_owned()));
        let both = issues.with_services(services.to_vec());
        assert_eq!(both.services(), &services[..1]);
    }

    #[test]
    fn what_names_a_service_is_filed_without_issues_too() {
        let service = Service("service-1".to_owned());
        let both = Associations::from(IssueKeys::extract(["PAY-1"])).with_services(vec![service.clone()]);
        let allowed = ["SHIP".to_owned()];
        let filter = KeyFilter { allowed: &allowed, suppressed: &[] };
        let (none, _) = both.issue_keys.clone().filtered(&filter);
        let left = both.with_issue_keys(none);
        assert!(!left.is_empty() && left.issue_keys().is_empty());
        assert_eq!(left.services(), [service]);
        assert!(Associations::default().is_empty());
    }
}
