//! Which operation of Jira's provider APIs a recorded request is.
//! That each connection's own paths were used was decided by the stand-in that recorded it; what a body may hold
//! belongs to [`crate::documents`].

/// The APIs by their name in recordings, with their root among the paths of a site.
const ROOTS: [(&str, &str); 4] = [
    ("dev-info", "/rest/devinfo/0.10"),
    ("builds", "/rest/builds/0.1"),
    ("deployments", "/rest/deployments/0.1"),
    ("feature-flags", "/rest/featureflags/0.1"),
];

/// The path inside a site of a request to the API that recordings call `api`; `path` is below that API's root.
/// `None` when there is no such API.
#[must_use]
pub fn site_path(api: &str, path: &str) -> Option<String> {
    let (_, root) = ROOTS.iter().find(|(name, _)| *name == api)?;
    Some(format!("{root}{path}"))
}

/// Whether a path of the OpenAPI document belongs to one of these APIs.
#[must_use]
pub fn is_provided(path: &str) -> bool {
    ROOTS.iter().any(|(_, root)| path.starts_with(root))
}

/// Whether `path` is an instance of a path such as OpenAPI's `/flag/{featureFlagId}`: every `{name}` stands for
/// exactly one segment that is not empty. JSON pointers are such paths too.
#[must_use]
pub fn matches(template: &str, path: &str) -> bool {
    let (mut expected, mut found) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return true,
            (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => {}
            (Some(literal), Some(value)) if literal == value => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_its_api() {
        assert_eq!(site_path("dev-info", "/bulk").as_deref(), Some("/rest/devinfo/0.10/bulk"));
        assert_eq!(site_path("devinfo", "/bulk"), None);
        assert!(is_provided("/rest/builds/0.1/bulkByProperties"));
        assert!(!is_provided("/rest/remotelinks/1.0/bulk"));
    }

    #[test]
    fn a_parameter_is_one_segment() {
        let template = "/rest/devinfo/0.10/repository/{repositoryId}/{entityType}/{entityId}";
        assert!(matches(template, "/rest/devinfo/0.10/repository/7/branch/abc"));
        assert!(!matches(template, "/rest/devinfo/0.10/repository/7/branch/a/b"));
        assert!(!matches(template, "/rest/devinfo/0.10/repository/7/branch/"));
        assert!(!matches("/rest/builds/0.1/bulk", "/rest/builds/0.2/bulk"));
    }
}
