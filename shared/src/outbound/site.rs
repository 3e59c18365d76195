//! The form of a Jira site's address. Which sites may install is configuration, and read elsewhere.

use url::{Host, Url};

use super::HostGuard;

/// Production, its older name, staging, and the government cloud: the suffixes for which Atlassian's own Connect
/// framework accepts a `baseUrl` (<https://bitbucket.org/atlassian/atlassian-connect-express>).
const SITE_SUFFIXES: [&str; 4] =
    [".atlassian.net", ".jira.com", ".jira-dev.com", ".atlassian-us-gov-mod.net"];

/// Whether `url` lies on a Jira Cloud site: https, the default port, and a host below one of Atlassian's site domains.
/// A custom domain is never a `baseUrl`, so it is not recognised.
#[must_use]
pub fn is_atlassian_site(url: &Url) -> bool {
    let Some(Host::Domain(host)) = url.host() else {
        return false;
    };
    url.scheme() == "https"
        && url.port().is_none()
        && SITE_SUFFIXES.iter().any(|suffix| host.strip_suffix(suffix).is_some_and(is_site_name))
}

/// The origin of a site's address, if it is one that may be called: bare, and an Atlassian site or one that the operator
/// listed among private hosts.
#[must_use]
pub fn site_address(text: &str, guard: &HostGuard) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.path() == "/" && url.query().is_none();
    let is_site = is_atlassian_site(&url) || guard.lists(&url);
    (is_bare && is_site && guard.check(text).is_ok()).then(|| url.origin().ascii_serialization())
}

/// Whether the site at `origin` is among `listed` hosts; an empty list has all of them.
#[must_use]
pub fn is_listed_site(listed: &[String], origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    listed.is_empty() || listed.iter().any(|listed| listed.eq_ignore_ascii_case(host))
}

/// At least one label, and none of them empty.
fn is_site_name(name: &str) -> bool {
    name.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> bool {
        is_atlassian_site(&Url::parse(text).expect("a URL"))
    }

    #[test]
    fn sites_of_all_clouds() {
        for text in [
            "https://example.atlassian.net",
            "https://EXAMPLE.Atlassian.NET/wiki?x=1",
            "https://example.jira.com:443/",
            "https://a.b.jira-dev.com",
            "https://example.atlassian-us-gov-mod.net",
        ] {
            assert!(verdict(text), "{text}");
        }
    }

    #[test]
    fn look_alikes() {
        for text in [
            "http://example.atlassian.net",
            "https://example.atlassian.net:8443",
            "https://atlassian.net",
            "https://.atlassian.net",
            "https://a..atlassian.net",
            "https://evilatlassian.net",
            "https://example.evilatlassian.net",
            "https://example.atlassian.net.evil.example",
            "https://example.atlassian.net.",
            "https://evil.example/.atlassian.net",
            "https://example.atlassian.net@evil.example/",
            "https://127.0.0.1/",
            "https://[2606:4700::1]/",
            "data:text/plain,example.atlassian.net",
        ] {
            assert!(!verdict(text), "{text}");
        }
    }
}
