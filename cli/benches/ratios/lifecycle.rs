//! Verifying a lifecycle token, beside the RSA operation alone, and beside Atlassian's own library.

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gitlab_jira::demo::world::World;
use shared::clock::SystemClock;
use shared::jwt::Request;
use shared::jwt::asymmetric::LifecycleVerifier;
use shared::jwt::keystore::{KeySource, KeyStore};
use shared::outbound::{HostGuard, RedirectRule, outbound_client};
use standins::gitlab::Version;

use super::{in_turn, node, row, timed};

const TIMES: usize = 2_000;

pub(crate) async fn run() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    let call = world.site.lifecycle_call("installed").unwrap();
    let (token, client_key) = (call.token(), world.site.client_key());
    let guard = HostGuard::parse("http://127.0.0.1").unwrap();
    let client = outbound_client(&guard, RedirectRule::None, None).unwrap();
    let servers = [world.jira.install_keys_url().parse().unwrap()];
    let keys = KeyStore::new(client, KeySource::atlassian(&servers), Arc::new(SystemClock));
    let verifier = LifecycleVerifier::new(keys, [world.connect_base_url()], Arc::new(SystemClock));
    let request = Request { method: "POST", path: "/events/installed", query: None };
    verifier.verify(&token, &client_key, &request).await.unwrap();

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let pem = world.jira.signing_key().public_pem();
    let der: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(der).unwrap()).unwrap();

    let (whole, bare) = in_turn(
        async || {
            let started = Instant::now();
            for _ in 0..TIMES {
                verifier.verify(&token, &client_key, &request).await.unwrap();
            }
            started.elapsed()
        },
        async || timed(TIMES, || key.verify_sig(signed.as_bytes(), &signature).unwrap()),
    )
    .await;
    let micros = |seconds: f64| seconds * 1e6 / TIMES as f64;
    row(
        "lifecycle verification beside the bare RSA-2048 verification",
        &format!("{:.1} µs beside {:.1} µs: {:.2} of its speed", micros(whole), micros(bare), bare / whole),
    );
    match node::lifecycle(&token, &pem, TIMES) {
        Some(seconds) => row(
            "lifecycle verification beside @atlassian/atlassian-jwt on Node",
            &format!(
                "{:.1} µs beside {:.1} µs: {:.1} times as fast",
                micros(whole),
                micros(seconds),
                seconds / whole
            ),
        ),
        None => row(
            "lifecycle verification beside @atlassian/atlassian-jwt on Node",
            "skipped: Node or npm is missing",
        ),
    }
}
