use std::env;
use std::process::Command;

use super::test_server::{Answer, TestServer};
use super::*;

const TEST_CA: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBejCCASGgAwIBAgIUbqlyIZClyTVOoRh1Q62UzYetb2cwCgYIKoZIzj0EAwIw\n\
EjEQMA4GA1UEAwwHVGVzdCBDQTAgFw0yNjExMjEwOTUyMTFaGA8yMTI2MTAyODA5\n\
NTIxMVowEjEQMA4GA1UEAwwHVGVzdCBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
A0IABCbBOWsqnBCVep+BG4RMN6w9HE/i5h7ZGOIr/+3uBh5Koe6S2BYSDDKkP6i3\n\
8lXBASFFX5WKTFdT+xsqbp03GFGjUzBRMB0GA1UdDgQWBBR23FUwgeMdjL2YhmgO\n\
hAID7P/7lDAfBgNVHSMEGDAWgBR23FUwgeMdjL2YhmgOhAID7P/7lDAPBgNVHRMB\n\
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCICl9iWIFtvztDg5b6NHagncDCUtR\n\
GGNMqvZcrSTgS4ifAiAeSfPmmLOCajJFMWLHr1ORt5oMg3NVfT8rnCpgjxk6xQ==\n\
-----END CERTIFICATE-----\n\
";

fn client(list: &str, rule: RedirectRule) -> Client {
    let guard = HostGuard::parse(list).expect("a list");
    outbound_client(&guard, rule, None).expect("a client")
}

#[tokio::test]
async fn an_unlisted_name_that_resolves_to_loopback_is_never_connected_to() {
    let server = TestServer::start();
    let url = server.url("/").replace("127.0.0.1", "localhost");
    let error = client("", RedirectRule::None).get(&url).send().await.expect_err("refused");
    assert!(refused_by_guard(&error), "{error:?}");
    assert_eq!(server.requests(), Vec::<String>::new());

    let answer = client("localhost", RedirectRule::None).get(&url).send().await.expect("listed");
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_host_that_is_down_is_not_called_refused() {
    let error =
        client("", RedirectRule::None).get("http://no-such-host.invalid/").send().await.expect_err("no host");
    assert!(!refused_by_guard(&error));
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_for_gitlab_only() {
    let server = TestServer::start();
    server.answer("/old", Answer::redirect(302, "/newer"));
    server.answer("/newer", Answer::redirect(301, "/newest"));
    server.answer("/newest", Answer::new(200, "here"));
    let list = server.authority();

    let answer =
        client(&list, RedirectRule::SameOriginGet).get(server.url("/old")).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), "here");
    let answer = client(&list, RedirectRule::None).get(server.url("/old")).send().await.expect("an answer");
    assert_eq!(answer.status(), 302);
}

#[tokio::test]
async fn redirects_away_are_returned_and_not_followed() {
    let (server, other) = (TestServer::start(), TestServer::start());
    other.answer("/", Answer::new(200, "stolen"));
    let with_user = server.url("/").replace("http://", "http://user:secret@");
    for (status, location) in [
        (302, other.url("/")),
        (307, other.url("/")),
        (302, server.url("/").replace("http://", "https://")),
        (302, with_user),
        (303, server.url("/")),
        (302, "http://169.254.169.254/latest/meta-data/".to_owned()),
    ] {
        server.answer("/old", Answer::redirect(status, &location));
        let gitlab = client("127.0.0.1", RedirectRule::SameOriginGet);
        let answer = gitlab.get(server.url("/old")).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{location}");
    }
    assert_eq!(other.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = TestServer::start();
    server.answer("/loop", Answer::redirect(302, "/loop"));
    let gitlab = client(&server.authority(), RedirectRule::SameOriginGet);
    let answer = gitlab.get(server.url("/loop")).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), server.requests().len()), (302, 1 + MAX_REDIRECTS));
}

#[test]
fn extra_certificates_are_read_or_refused() {
    let guard = HostGuard::default();
    for pem in [None, Some(""), Some(" \n"), Some(TEST_CA)] {
        assert!(outbound_client(&guard, RedirectRule::None, pem).is_ok(), "{pem:?}");
    }
    for pem in ["not a certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let error = outbound_client(&guard, RedirectRule::None, Some(pem)).expect_err(pem);
        assert!(matches!(error, OutboundClientError::ExtraCa(_)), "{error:?}");
    }
}

/// The certificates are looked up through the environment, so the test runs itself again in one without any.
#[test]
fn a_machine_without_ca_certificates_is_an_error_and_no_panic() {
    const NOWHERE: &str = "/nonexistent-ca-certificates";
    if env::var("SSL_CERT_FILE").is_ok_and(|file| file == NOWHERE) {
        let error =
            outbound_client(&HostGuard::default(), RedirectRule::None, None).expect_err("no certificates");
        assert!(matches!(error, OutboundClientError::NoAuthorities), "{error:?}");
        assert!(outbound_client(&HostGuard::default(), RedirectRule::None, Some(TEST_CA)).is_ok());
        return;
    }
    let status = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "outbound::tests::a_machine_without_ca_certificates_is_an_error_and_no_panic"])
        .envs([("SSL_CERT_FILE", NOWHERE), ("SSL_CERT_DIR", NOWHERE)])
        .output()
        .expect("started");
    let output = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && output.contains("1 passed"), "{output}");
}
