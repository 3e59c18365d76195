//! The system's resolver, filtered by [`HostGuard`], for the HTTP client.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::guard::HostGuard;

/// A host has no address that may be connected to.
#[derive(Debug, Error)]
#[error(
    "{host} resolves only to private or reserved addresses; list it in ALLOWED_PRIVATE_HOSTS if that is intended"
)]
pub struct RefusedAddress {
    /// The name that was looked up.
    pub host: String,
}

/// Resolves names as the system does, and answers only addresses that the guard allows.
#[derive(Clone, Debug)]
pub struct GuardedResolver {
    guard: HostGuard,
}

impl GuardedResolver {
    /// A resolver that asks `guard`.
    #[must_use]
    pub fn new(guard: HostGuard) -> Self {
        Self { guard }
    }

    async fn lookup(self, host: String) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let addresses = system_lookup(host.clone()).await?;
        let allowed = self.allowed(&host, addresses)?;
        Ok(Box::new(allowed.into_iter()))
    }

    /// A name with both kinds of address is reached by its public ones alone.
    fn allowed(&self, host: &str, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, RefusedAddress> {
        addresses.retain(|address| self.guard.allows_address(host, address.ip()));
        if addresses.is_empty() { Err(RefusedAddress { host: host.to_owned() }) } else { Ok(addresses) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().lookup(name.as_str().to_owned()))
    }
}

/// Blocking, as `getaddrinfo` is; the caller's connect timeout bounds the wait.
async fn system_lookup(host: String) -> io::Result<Vec<SocketAddr>> {
    tokio::task::spawn_blocking(move || (host.as_str(), 0).to_socket_addrs().map(Iterator::collect))
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(list: &str) -> GuardedResolver {
        GuardedResolver::new(HostGuard::parse(list).expect("a list"))
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    }

    #[test]
    fn private_answers_are_taken_out() {
        let mixed = addresses(&["10.0.0.1", "93.184.215.14", "169.254.169.254", "::1", "2606:4700::1"]);
        let allowed = resolver("").allowed("gitlab.example", mixed).expect("two are public");
        assert_eq!(allowed, addresses(&["93.184.215.14", "2606:4700::1"]));
    }

    #[test]
    fn only_private_answers_are_an_error() {
        let error = resolver("other.example").allowed("gitlab.example", addresses(&["10.0.0.1", "fd00::1"]));
        assert_eq!(error.expect_err("nothing left").host, "gitlab.example");
    }

    #[test]
    fn a_listed_host_may_be_private() {
        let private = addresses(&["10.0.0.1", "127.0.0.1"]);
        for host in ["gitlab.example", "GitLab.Example", "gitlab.example."] {
            assert_eq!(
                resolver("gitlab.example:8443").allowed(host, private.clone()).expect("listed"),
                private
            );
        }
    }

    #[tokio::test]
    async fn localhost_resolves_only_when_listed() {
        let name = || "localhost".parse::<Name>().expect("a name");
        assert!(resolver("").resolve(name()).await.is_err());
        assert!(resolver("localhost").resolve(name()).await.is_ok_and(|mut found| found.next().is_some()));
    }
}
