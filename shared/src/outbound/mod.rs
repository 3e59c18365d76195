//! Calling URLs that were named from outside: a GitLab instance, a proxy's target, a tenant's `baseUrl`, a `Link` header.
//!
//! [`HostGuard`] decides which URLs may be called at all, and [`outbound_client`] builds the only HTTP client that calls
//! them. The client resolves names through the guard, so the address that was checked is the address that is connected
//! to, however the name resolves a moment later. What is said over that client belongs to `jira`, `gitlab` and `jwt`.

mod address;
mod body;
mod guard;
mod resolver;
mod site;

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, StatusCode};
use thiserror::Error;

use crate::tls_roots;

pub use address::{is_loopback, is_public};
pub use body::{BodyError, read_body};
pub use guard::{GuardError, HostGuard, HostListError};
pub use resolver::{GuardedResolver, RefusedAddress};
pub use site::{is_atlassian_site, is_listed_site, site_address};

/// A host that doesn't take a connection in this time is down; waiting longer only delays the batch.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Name, connection, request and the whole body. Jira's bulk calls and GitLab's slowest lists answer well within it.
pub(crate) const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A moved project is one hop, a normalised path another; more is a loop.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("gitlab-for-jira/", env!("CARGO_PKG_VERSION"));

/// What a client does with a 3xx answer. A redirect that is not followed is returned as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectRule {
    /// Never followed: Jira (a 3xx means that the site was renamed), and every request that changes something.
    None,
    /// Followed within the origin of the first URL, at most three times. For GitLab's reads only: the HTTP library
    /// doesn't give the rule the method, so requests that change something go through a client with
    /// [`RedirectRule::None`].
    SameOriginGet,
}

/// Why a client could not be built.
#[derive(Debug, Error)]
pub enum OutboundClientError {
    /// The extra certificates are not PEM, or there are none in the text.
    #[error("the extra CA certificates are not PEM certificates")]
    ExtraCa(#[source] Option<reqwest::Error>),
    /// There are no root certificates to trust.
    #[error("there are no CA certificates on this machine")]
    NoAuthorities,
    /// TLS could not be set up.
    #[error("no HTTP client could be built")]
    Build(#[source] reqwest::Error),
}

/// The one way to build a client for URLs named from outside. Pass it only URLs that [`HostGuard::check`] returned:
/// a literal address in a URL is never resolved, so only `check` sees it.
///
/// Connecting may take 5 s and a whole call 30 s. Proxies named in the environment are ignored on purpose: a proxy
/// resolves names itself, after the check, and would undo it.
///
/// # Errors
///
/// [`OutboundClientError`]; in particular a machine without CA certificates is an error here, never a panic.
pub fn outbound_client(
    guard: &HostGuard,
    redirects: RedirectRule,
    extra_ca_pem: Option<&str>,
) -> Result<Client, OutboundClientError> {
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .no_proxy()
        .referer(false)
        .redirect(redirect_policy(redirects))
        .dns_resolver(GuardedResolver::new(guard.clone()))
        .tls_certs_only(authorities(extra_ca_pem)?)
        .build()
        .map_err(OutboundClientError::Build)
}

/// Whether a call failed because its host resolved to addresses that [`HostGuard`] refuses: the remedy is to list the
/// host, not to search for a network fault.
#[must_use]
pub fn refused_by_guard(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = cause {
        if current.is::<RefusedAddress>() {
            return true;
        }
        cause = current.source();
    }
    false
}

/// The system's authorities and the extra ones.
fn authorities(extra_ca_pem: Option<&str>) -> Result<Vec<Certificate>, OutboundClientError> {
    let mut authorities = extra_certificates(extra_ca_pem)?;
    for authority in tls_roots::system() {
        authorities.push(Certificate::from_der(authority).map_err(OutboundClientError::Build)?);
    }
    if authorities.is_empty() {
        return Err(OutboundClientError::NoAuthorities);
    }
    Ok(authorities)
}

fn extra_certificates(pem: Option<&str>) -> Result<Vec<Certificate>, OutboundClientError> {
    let Some(pem) = pem.filter(|pem| !pem.trim().is_empty()) else {
        return Ok(Vec::new());
    };
    let certificates = Certificate::from_pem_bundle(pem.as_bytes())
        .map_err(|error| OutboundClientError::ExtraCa(Some(error)))?;
    if certificates.is_empty() {
        return Err(OutboundClientError::ExtraCa(None));
    }
    Ok(certificates)
}

fn redirect_policy(rule: RedirectRule) -> Policy {
    match rule {
        RedirectRule::None => Policy::none(),
        RedirectRule::SameOriginGet => {
            Policy::custom(|attempt| if is_same_origin(&attempt) { attempt.follow() } else { attempt.stop() })
        }
    }
}

/// A 303 is not followed: it answers a request that changed something, which must not go through this client.
fn is_same_origin(attempt: &Attempt<'_>) -> bool {
    let next = attempt.url();
    attempt.status() != StatusCode::SEE_OTHER
        && attempt.previous().len() <= MAX_REDIRECTS
        && attempt.previous().first().is_some_and(|first| first.origin() == next.origin())
        && next.username().is_empty()
        && next.password().is_none()
}

#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
