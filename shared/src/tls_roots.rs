//! The certificate authorities that the system trusts. They are read once per process, for all its clients, because reading
//! them is most of a function's start. Which client trusts them, and which others it trusts, belongs to `aws` and `outbound`.

use std::env;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

/// Where all authorities are in one file: on Amazon Linux, which Lambda runs functions on, and on Debian. Elsewhere they
/// are searched for.
const BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// Variables that name other authorities, for every program that reads certificates as OpenSSL does.
/// <https://docs.openssl.org/3.5/man3/SSL_CTX_load_verify_locations/>
const ELSEWHERE: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| usable(load()));

/// The system's certificate authorities; none where it has none.
#[must_use]
pub fn system() -> &'static [CertificateDer<'static>] {
    &SYSTEM
}

/// [`system`] as text, which is how the AWS SDK takes them.
#[must_use]
pub fn system_pem() -> String {
    let encode = |authority: &CertificateDer<'_>| {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(authority))
    };
    SYSTEM.iter().map(encode).collect()
}

fn load() -> CertificateResult {
    if ELSEWHERE.iter().any(|name| env::var_os(name).is_some()) {
        return load_native_certs();
    }
    match BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists()) {
        // The folder around it holds each of them again, on Debian in a file of its own.
        Some(bundle) => load_certs_from_paths(Some(bundle), None),
        None => load_native_certs(),
    }
}

/// Those that TLS can work with: clients refuse a list with any other in it.
fn usable(loaded: CertificateResult) -> Vec<CertificateDer<'static>> {
    for error in loaded.errors {
        tracing::warn!(%error, "a certificate authority of the system can't be read");
    }
    let mut store = RootCertStore::empty();
    loaded.certs.into_iter().filter(|authority| store.add(authority.clone()).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn what_tls_can_not_work_with_is_left_out() {
        let mut loaded = load();
        let found = loaded.certs.len();
        assert!(found > 0, "this machine has certificate authorities");
        loaded.certs.push(CertificateDer::from(b"no certificate".to_vec()));
        assert_eq!(usable(loaded).len(), found);
    }

    #[test]
    fn the_text_says_the_same() {
        let pem = system_pem();
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        assert_eq!(read.expect("PEM"), system());
    }
}
