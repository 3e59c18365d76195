//! The guard over URLs named from outside: what may be called, and what `ALLOWED_PRIVATE_HOSTS` adds to it.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;
use url::{Host, Url};

use super::address::{is_loopback, is_public};

/// In bytes. The longest URLs that we get, GitLab's keyset pagination links, stay far below it.
const MAX_URL_BYTES: usize = 4096;

/// Why a URL is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GuardError {
    /// Not an absolute URL with a host, longer than 4096 bytes, or with blanks, controls or backslashes in it.
    #[error("this is not a complete URL")]
    Malformed,
    /// Neither https nor plain http to a host that is listed for it.
    #[error(
        "only https URLs are called; list the host as http://... in ALLOWED_PRIVATE_HOSTS to call it without TLS"
    )]
    Scheme,
    /// There is a user name or password before the host.
    #[error("a URL must not carry a user name or password")]
    UserInfo,
    /// A `#` part, which no server would ever see.
    #[error("a URL must not carry a fragment")]
    Fragment,
    /// A literal address, or `localhost`, that is private or reserved and not listed.
    #[error("this address is private or reserved; list it in ALLOWED_PRIVATE_HOSTS if that is intended")]
    Address,
    /// The host is listed in `ALLOWED_PRIVATE_HOSTS`, but only with other ports.
    #[error("this host is listed in ALLOWED_PRIVATE_HOSTS with another port")]
    Port,
}

/// An entry of `ALLOWED_PRIVATE_HOSTS` that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{entry:?} is neither a host nor an http(s) origin")]
pub struct HostListError {
    /// The entry as it was written.
    pub entry: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    host: Host,
    port: Option<u16>,
    plain_http: bool,
}

/// Decides which URLs and addresses may be called. The default lists nothing: public hosts over https only.
#[derive(Clone, Debug, Default)]
pub struct HostGuard {
    listed: Arc<[Listed]>,
}

impl HostGuard {
    /// Reads `ALLOWED_PRIVATE_HOSTS`: hosts or origins separated by commas, each with or without a port; without one,
    /// every port is meant. Plain http is allowed only to an entry written `http://...` and to loopback entries. Empty
    /// lists nothing.
    ///
    /// # Errors
    ///
    /// [`HostListError`] with the first entry that is neither a host nor an origin. Patterns are not supported.
    pub fn parse(list: &str) -> Result<Self, HostListError> {
        list.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| Listed::parse(entry).ok_or_else(|| HostListError { entry: entry.to_owned() }))
            .collect::<Result<_, _>>()
            .map(|listed| Self { listed })
    }

    /// The URL in `text`, if it may be called. Names are not resolved here: the client that
    /// [`outbound_client`](super::outbound_client) builds checks the addresses.
    ///
    /// # Errors
    ///
    /// [`GuardError`], whose texts may be shown to whoever named the URL.
    pub fn check(&self, text: &str) -> Result<Url, GuardError> {
        let url = parse_url(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GuardError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(GuardError::Fragment);
        }
        let host = url.host().ok_or(GuardError::Malformed)?.to_owned();
        match self.entries(&host).next() {
            None => check_unlisted(&url, &host)?,
            Some(_) => self.check_listed(&url, &host)?,
        }
        Ok(url)
    }

    /// Whether the operator listed the host of `url`, and so trusts it.
    #[must_use]
    pub fn lists(&self, url: &Url) -> bool {
        url.host().is_some_and(|host| self.entries(&host.to_owned()).next().is_some())
    }

    /// Whether `host`, the name in a URL, may be reached at `address`. Ports belong to [`check`](Self::check):
    /// a resolver does not know them.
    pub(super) fn allows_address(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || Host::parse(host).is_ok_and(|host| self.entries(&host).next().is_some())
    }

    fn entries(&self, host: &Host) -> impl Iterator<Item = &Listed> {
        let host = undotted(host.clone());
        self.listed.iter().filter(move |listed| listed.host == host)
    }

    /// A host that is listed with a port is called at that port only: its name resolves to private addresses from now
    /// on, and nobody listed its other ports.
    fn check_listed(&self, url: &Url, host: &Host) -> Result<(), GuardError> {
        let port = url.port_or_known_default();
        let mut on_this_port =
            self.entries(host).filter(|listed| listed.port.is_none() || listed.port == port).peekable();
        if on_this_port.peek().is_none() {
            return Err(GuardError::Port);
        }
        if url.scheme() == "https" || on_this_port.any(|listed| listed.plain_http) {
            return Ok(());
        }
        Err(GuardError::Scheme)
    }
}

impl Listed {
    fn parse(entry: &str) -> Option<Self> {
        let (scheme, authority) =
            entry.split_once("://").map_or((None, entry), |(scheme, rest)| (Some(scheme), rest));
        let (host, port) = split_port(authority.strip_suffix('/').unwrap_or(authority))?;
        if host.contains(['*', '@', '/', '?', '#', '\\', '%']) {
            return None;
        }
        let host = undotted(Host::parse(host).ok()?);
        let plain_http = match scheme.map(str::to_ascii_lowercase).as_deref() {
            None => is_loopback(&host),
            Some("http") => true,
            Some("https") => false,
            Some(_) => return None,
        };
        Some(Self { host, port, plain_http })
    }
}

/// Splits by hand because a URL parser forgets a port that is its scheme's default, and here `:443` means only 443.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[end_of_host..].find(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(end_of_host + colon);
            let port = port[1..].parse().ok().filter(|port| *port != 0)?;
            Some((host, Some(port)))
        }
    }
}

fn parse_url(text: &str) -> Result<Url, GuardError> {
    // The URL parser silently drops or turns around these characters; what was checked must be what was written.
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.len() > MAX_URL_BYTES || text.contains(odd) {
        return Err(GuardError::Malformed);
    }
    let url = Url::parse(text).map_err(|_| GuardError::Malformed)?;
    match url.scheme() {
        "https" | "http" => Ok(url),
        _ => Err(GuardError::Scheme),
    }
}

fn check_unlisted(url: &Url, host: &Host) -> Result<(), GuardError> {
    let public = match host {
        Host::Domain(_) => !is_loopback(&undotted(host.clone())),
        Host::Ipv4(address) => is_public((*address).into()),
        Host::Ipv6(address) => is_public((*address).into()),
    };
    match (public, url.scheme()) {
        (false, _) => Err(GuardError::Address),
        (true, "https") => Ok(()),
        (true, _) => Err(GuardError::Scheme),
    }
}

/// `gitlab.example.` is the same host as `gitlab.example`.
fn undotted(host: Host) -> Host {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').map(str::to_owned).unwrap_or(name)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(list: &str, url: &str) -> Result<String, GuardError> {
        HostGuard::parse(list).expect("a list").check(url).map(String::from)
    }

    #[test]
    fn public_https_urls_pass() {
        for url in [
            "https://gitlab.com/",
            "https://gitlab.com:8443/api/v4/projects?page=2",
            "https://example.atlassian.net/rest/api/3",
            "https://8.8.8.8/",
            "https://[2606:4700::1]/",
            "https://localhost.example/",
        ] {
            assert_eq!(verdict("", url).as_deref(), Ok(url));
        }
    }

    #[test]
    fn refused_urls_and_why() {
        use GuardError::{Address, Fragment, Malformed, Scheme, UserInfo};
        for (url, error) in [
            ("", Malformed),
            ("gitlab.com", Malformed),
            ("//gitlab.com/", Malformed),
            ("https://", Malformed),
            ("https:///", Malformed),
            ("https://a b/", Malformed),
            (" https://gitlab.com/", Malformed),
            ("https://gitlab.com/\n", Malformed),
            ("https://gitlab.com\\@evil.example/", Malformed),
            ("https://gitlab.com:99999/", Malformed),
            ("http://gitlab.com/", Scheme),
            ("ftp://gitlab.com/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://127.0.0.1:25/", Scheme),
            ("javascript:alert(1)", Scheme),
            ("https://user@gitlab.com/", UserInfo),
            ("https://user:secret@gitlab.com/", UserInfo),
            ("https://:secret@gitlab.com/", UserInfo),
            ("https://gitlab.com/#", Fragment),
            ("https://gitlab.com/#token", Fragment),
            ("https://127.0.0.1/", Address),
            ("http://127.0.0.1/", Address),
            ("https://127.1/", Address),
            ("https://2130706433/", Address),
            ("https://0x7f.0.0.1/", Address),
            ("https://0177.0.0.1/", Address),
            ("https://10.1.2.3:8443/", Address),
            ("https://169.254.169.254/latest/meta-data/", Address),
            ("https://[::1]/", Address),
            ("https://[::]/", Address),
            ("https://[::ffff:169.254.169.254]/", Address),
            ("https://[fd00:ec2::254]/", Address),
            ("https://localhost/", Address),
            ("https://LOCALHOST.:8443/", Address),
            ("https://gitlab.localhost/", Address),
        ] {
            assert_eq!(verdict("", url), Err(error), "{url}");
        }
        assert_eq!(verdict("", &format!("https://gitlab.com/{}", "a".repeat(4096))), Err(Malformed));
    }

    #[test]
    fn what_a_list_allows() {
        for (list, url, allowed) in [
            ("10.0.0.5", "https://10.0.0.5/", true),
            ("10.0.0.5", "https://10.0.0.5:8443/", true),
            ("10.0.0.5", "http://10.0.0.5/", false),
            ("10.0.0.5", "https://10.0.0.6/", false),
            ("http://10.0.0.5", "http://10.0.0.5:3000/", true),
            ("http://10.0.0.5", "https://10.0.0.5/", true),
            ("https://10.0.0.5", "http://10.0.0.5/", false),
            ("HTTP://gitlab.lan/", "http://GITLAB.lan./", true),
            ("gitlab.lan", "https://gitlab.lan/", true),
            ("gitlab.lan", "http://gitlab.lan/", false),
            ("127.0.0.1:4000", "http://127.0.0.1:4000/", true),
            ("127.0.0.1:4000", "http://127.0.0.1:4001/", false),
            ("localhost", "http://localhost:4000/", true),
            ("localhost", "http://127.0.0.1:4000/", false),
            ("https://localhost:4000", "http://localhost:4000/", false),
            ("[::1]:4000", "http://[::1]:4000/", true),
            ("[::1]", "https://[0:0:0:0:0:0:0:1]/", true),
            (" a.example , ,http://b.example:81 ", "http://b.example:81/", true),
            ("gitlab.lan:8443,http://gitlab.lan:8080", "http://gitlab.lan:8080/", true),
            ("gitlab.lan:8443,http://gitlab.lan:8080", "http://gitlab.lan:8443/", false),
            ("gitlab.lan", "https://sub.gitlab.lan/", true),
            ("gitlab.lan", "http://sub.gitlab.lan/", false),
        ] {
            assert_eq!(verdict(list, url).is_ok(), allowed, "{list} {url}");
        }
    }

    #[test]
    fn a_host_listed_with_a_port_is_called_at_no_other() {
        for (list, url) in [
            ("gitlab.lan:8443", "https://gitlab.lan/"),
            ("gitlab.lan:443", "https://gitlab.lan:8443/"),
            ("https://gitlab.lan:443", "https://gitlab.lan:8443/"),
            ("http://gitlab.lan:80", "https://gitlab.lan/"),
            ("10.0.0.5:8443", "https://10.0.0.5/"),
        ] {
            assert_eq!(verdict(list, url), Err(GuardError::Port), "{list} {url}");
        }
        assert!(verdict("gitlab.lan:443", "https://gitlab.lan/").is_ok());
    }

    #[test]
    fn entries_that_are_refused() {
        for entry in [
            "*",
            "*.lan",
            "ftp://gitlab.lan",
            "http://",
            "http://gitlab.lan/path",
            "user@gitlab.lan",
            "gitlab.lan:0",
            "gitlab.lan:https",
            "gitlab.lan:",
            "gitlab.lan:99999",
            "git lab",
            "::1",
            "[::1",
            "10.0.0.0/8",
            "https://gitlab.lan?x",
        ] {
            assert_eq!(HostGuard::parse(entry).expect_err(entry).entry, entry);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_private_passes(text in ".*", list in ".*") {
            let guard = HostGuard::parse(&list).unwrap_or_default();
            let _ = guard.check(&text);
            let _ = guard.allows_address(&text, IpAddr::from([127, 0, 0, 1]));
        }

        #[test]
        fn what_passes_an_empty_list_is_public_https(text in "(https?|HTTPS|ftp)://[a-z0-9.:@\\[\\]%/#x-]{0,40}") {
            if let Ok(url) = HostGuard::default().check(&text) {
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
                match url.host() {
                    Some(Host::Ipv4(address)) => prop_assert!(is_public(address.into())),
                    Some(Host::Ipv6(address)) => prop_assert!(is_public(address.into())),
                    Some(Host::Domain(name)) => prop_assert!(!name.ends_with("localhost")),
                    None => prop_assert!(false, "a host is required"),
                }
            }
        }

        #[test]
        fn any_private_literal_is_refused(bits: u32, port: u16) {
            let address = std::net::Ipv4Addr::from(bits);
            let allowed = verdict("", &format!("https://{address}:{port}/")).is_ok();
            prop_assert_eq!(allowed, is_public(address.into()));
        }

        #[test]
        fn a_passed_url_passes_again(text in "https://[a-z0-9.-]{1,30}(:[0-9]{1,5})?/[ -~]{0,20}") {
            if let Ok(url) = verdict("", &text) {
                prop_assert_eq!(verdict("", &url), Ok(url.clone()));
            }
        }
    }
}
