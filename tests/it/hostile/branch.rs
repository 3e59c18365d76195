//! Who is redirected to GitLab to create a branch: a person in an installed Jira, with a token of that tenant.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gitlab_jira::demo::world::World;
use gitlab_jira::operate::Command;
use serde_json::Value;
use shared::clock::SystemClock;
use shared::jwt::qsh::query_string_hash;
use standins::gitlab::{GitlabStandin, Version};
use standins::jira::{RsaKey, Signature, TenantToken};

use super::{Fortress, refused};
use crate::stage::{Stage, link_elsewhere};

const TARGET: &str = "/branches/route?issue_key=PAY-1&issue_summary=x";

/// S31.
#[tokio::test]
async fn s31_without_a_token_of_the_tenant_nobody_goes_on() {
    let mut fortress = Fortress::new().await;
    let other = fortress.world.jira.site("other").await.unwrap();
    other.install(&fortress.world.connect_base_url()).await.unwrap();
    fortress.remember().await;
    let (_, others_secret) = other.app_credentials().unwrap();
    let site = &fortress.world.site;
    let token = || site.token_for("GET", TARGET).unwrap();
    let signed = |signature| token().signed_with(signature);
    let (key, own_key) = (Arc::new(RsaKey::generate().unwrap()), fortress.world.jira.signing_key());
    let others = Signature::Hmac(others_secret.into_bytes());
    let pem = Signature::Hmac(own_key.public_pem().into_bytes());
    let cases: Vec<(&str, TenantToken)> = vec![
        ("another tenant's secret", signed(others)),
        ("another tenant's name", token().claim("iss", other.client_key())),
        ("an unknown tenant", token().claim("iss", "nobody")),
        ("no tenant", token().claim("iss", Value::Null)),
        ("a stranger's RSA", signed(Signature::Rsa(key)).algorithm("RS256")),
        ("Atlassian's RSA", signed(Signature::Rsa(own_key)).algorithm("RS256")),
        ("a public key as secret", signed(pem)),
        ("HS512 by name", token().algorithm("HS512")),
        ("alg none", signed(Signature::Empty).algorithm("none")),
        ("no signature", signed(Signature::Empty)),
        ("an empty secret", signed(Signature::Hmac(Vec::new()))),
        ("expired", token().expiring_in(-60)),
        ("no end", token().claim("exp", Value::Null)),
        ("oversized", token().claim("context", "x".repeat(9_000))),
    ];
    let url = format!("{}{TARGET}", fortress.world.connect_base_url());
    let bare = fortress.http.get(&url).send().await.unwrap();
    assert_eq!(bare.status(), 403);
    assert_eq!(bare.text().await.unwrap(), "");
    for (case, token) in cases {
        let token = token.compact();
        let answer = fortress.http.get(format!("{url}&jwt={token}")).send().await.unwrap();
        assert!(!answer.headers().contains_key("location"), "{case}");
        fortress.holds(answer, 403, case).await;
        let answer =
            fortress.http.get(&url).header("authorization", format!("JWT {token}")).send().await.unwrap();
        refused(answer, 403, case).await;
    }
    for garbage in ["", "123", "..", "%00", "%ff", "a.b.c"] {
        let answer = fortress.http.get(format!("{url}&jwt={garbage}")).send().await.unwrap();
        refused(answer, 403, garbage).await;
    }
}

/// S31: after an uninstall the secret opens nothing any more.
#[tokio::test]
async fn s31_an_uninstalled_tenant_does_not_go_on() {
    let fortress = Fortress::new().await;
    let url = fortress.world.site.create_branch_url("PAY-1", "x", "account").unwrap();
    assert_eq!(fortress.http.get(&url).send().await.unwrap().status(), 302);
    assert_eq!(fortress.world.site.uninstall().await.unwrap(), 200);
    assert_eq!(fortress.http.get(&url).send().await.unwrap().status(), 403);
}

/// S32, S33: where a person goes is what the operator configured or linked, never what the link said.
#[tokio::test]
async fn s33_the_query_decides_nothing_but_issue_and_summary() {
    let variables = [("GITLAB_URL", "https://configured.example/gitlab/")];
    let world = World::start_with(Version::V19_1, Arc::new(SystemClock), &variables).await.unwrap();
    world.install().await.unwrap();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let odd = "issue_key=PAY-1%0d%0aSet-Cookie:a&issue_summary=%22%3E%3Cscript%3E&instance_url=https://evil.example\
               &gitlab_url=//evil.example&issue_key=%ff&addonkey=a%26b&xdm_e=https://evil.example";
    let location = async |world: &World| {
        let target = format!("/branches/route?{odd}");
        let token = world.site.token_for("GET", &target).unwrap().compact();
        let url = format!("{}{target}&jwt={token}", world.connect_base_url());
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 302);
        assert!(!answer.headers().contains_key("set-cookie"));
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let unlinked = location(&world).await;
    assert!(
        unlinked.starts_with("https://configured.example/gitlab/-/jira_connect/branches/new?"),
        "{unlinked}"
    );
    assert!(!unlinked.contains("evil") && !unlinked.contains("jwt"), "{unlinked}");

    let stage = Stage::linked(world).await;
    let linked = location(&stage.world).await;
    let expected = format!("{}/-/jira_connect/branches/new?", stage.world.gitlab.url());
    assert!(linked.starts_with(&expected), "{linked}");
}

/// S33 with several instances: the person chooses, and nobody else's text becomes markup.
#[tokio::test]
async fn s33_with_several_instances_a_person_chooses_on_a_page_without_scripts() {
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    let stage = Stage::linked(world).await;
    let second = GitlabStandin::start(Version::V17_3).await.unwrap();
    let odd = r#"<img src=x onerror="alert(1)">"#;
    link_elsewhere(&stage.world, &second, odd, "tool").await;
    let query = "issue_key=PAY-1%22%3E%3Cscript%3E&issue_summary=%3C%2Ftitle%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E\
                 &addonkey=a%26b&xdm_e=https://evil.example";
    let target = format!("/branches/route?{query}");
    let token = stage.world.site.token_for("GET", &target).unwrap().compact();
    let url = format!("{}{target}&jwt={token}", stage.world.connect_base_url());
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    let page = answer.text().await.unwrap();

    // The policy allows this style, and nothing else.
    let (_, style) = page.split_once("<style>").unwrap();
    let hash = digest(&SHA256, style.split("</style>").next().unwrap().as_bytes());
    let hash = STANDARD.encode(hash);
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    );
    for text in ["<script", "<img", "javascript:", "evil.example", "jwt", token.as_str()] {
        assert!(!page.contains(text), "{text}: {page}");
    }
    assert_eq!(page.matches("</title>").count(), 1, "{page}");
    assert!(page.starts_with(r#"<!DOCTYPE html><html lang="en">"#), "{page}");
    assert!(page.contains("<title>Create a branch for PAY-1&quot;&gt;&lt;script&gt;</title>"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;"), "{page}");

    // A link for each instance, in the order in which they were linked; reached with the keyboard like every link.
    let links: Vec<_> =
        page.split("<a href=\"").skip(1).map(|link| link.split('"').next().unwrap()).collect();
    let issue = "issue_key=PAY-1%22%3E%3Cscript%3E&amp;issue_summary=%3C%2Ftitle%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E\
                 &amp;addonkey=a%26b";
    let expected = [stage.world.gitlab.url(), second.url()]
        .map(|instance| format!("{instance}/-/jira_connect/branches/new?{issue}"));
    assert_eq!(links, expected);

    // Nobody without a token sees which they are; and with one link left there is nothing to choose.
    let stranger = reqwest::get(url.replace("jwt=ey", "jwt=xx")).await.unwrap();
    refused(stranger, 403, "a stranger").await;
    let subscription = stage.link["subscription"].as_str().unwrap().to_owned();
    let unlink = Command::GroupUnlink { subscription, gitlab_token: None, keep_jira_data: true };
    stage.command(unlink).await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = http.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&format!("{}/-/jira_connect/branches/new?", second.url())), "{location}");
}

/// The hash of the link is not demanded yet, because Jira's own is not proved; a wrong one is logged. The secret is.
#[tokio::test]
async fn a_token_of_another_page_of_the_same_tenant_is_accepted() {
    let fortress = Fortress::new().await;
    for qsh in ["context-qsh", &query_string_hash("GET", "/subscriptions", None)] {
        let token = fortress.world.site.tenant_token(qsh).unwrap().compact();
        let url = format!("{}{TARGET}&jwt={token}", fortress.world.connect_base_url());
        assert_eq!(fortress.http.get(url).send().await.unwrap().status(), 302, "{qsh}");
    }
}
