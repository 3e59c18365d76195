use serde_json::json;

use super::tokens::usable_until;
use super::*;
use crate::clock::Clock as _;
use crate::clock::stopped::StoppedClock;
use crate::domain::HoldReason;
use crate::envelope::{Context, KeyFile, Purpose};
use crate::jwt::invocation::Person;
use crate::outbound::test_server::{Answer, TestServer};
use crate::outbound::{RedirectRule, outbound_client};
use crate::store::backoffs::{Backoff, BackoffScope};
use crate::store::embedded::EmbeddedEngine;

const CLOUD: &str = "99999999-8888-7777-6666-555555555555";
const HOUR: Duration = Duration::from_secs(3600);

/// A gateway that answers with a site's address, and what admits Forge installations.
struct Setup {
    gateway: TestServer,
    clock: Arc<StoppedClock>,
    forge: ForgeInstallations,
}

impl Setup {
    async fn new() -> Self {
        Self::listing(&[]).await
    }

    async fn listing(allowed_sites: &[&str]) -> Self {
        let gateway = TestServer::start();
        let info = json!({ "baseUrl": "https://acme.atlassian.net", "version": "1001.0.0" });
        let path = format!("/ex/jira/{CLOUD}/rest/api/3/serverInfo");
        gateway.answer(&path, Answer::new(200, info.to_string()));
        let (clock, engine) = (StoppedClock::new(), EmbeddedEngine::memory().expect("an engine"));
        let store = Store::new(engine.client(), "state", clock.clone());
        store.create_table().await.expect("a table");
        let directory = tempfile::tempdir().expect("a directory");
        let key = KeyFile::open_or_create(&directory.path().join("key")).expect("a key file");
        let guard = HostGuard::parse("127.0.0.1").expect("a list");
        let forge = ForgeInstallations {
            store,
            envelope: Arc::new(Envelope::new(Arc::new(key))),
            http: outbound_client(&guard, RedirectRule::None, None).expect("a client"),
            guard,
            api_url: Url::parse(&gateway.url("")).expect("a URL"),
            allowed_sites: allowed_sites.iter().map(|site| (*site).to_owned()).collect(),
            clock: clock.clone(),
        };
        Self { gateway, clock, forge }
    }

    /// A call of the installation, made now.
    fn call(&self, installation: &str) -> Invocation {
        Invocation::for_test(installation, CLOUD, &self.forge.api_base_url(CLOUD), self.clock.now())
    }

    async fn admit(&self, invocation: &Invocation) -> Result<Admission, ForgeError> {
        let token = SecretString::from(format!("token of {}", invocation.issued_at.0));
        self.forge.admit(invocation, Some(&token)).await
    }

    async fn open(&self, invocation: &Invocation) -> (Site, Installation) {
        match self.admit(invocation).await.expect("admitted") {
            // As stored, since the connection is returned as it was found.
            Admission::Open(site, installation) => {
                let store = &self.forge.store;
                let site = store.site(site.id).await.expect("read").expect("there");
                let installation = store.installation(site.id, installation.id).await.expect("read");
                (site, installation.expect("there"))
            }
            Admission::Outdated => panic!("outdated"),
        }
    }

    /// The token that is kept after a call has brought one.
    async fn keep(&self, invocation: &Invocation, token: &str) -> String {
        let admitted = self.forge.admit(invocation, Some(&SecretString::from(token))).await;
        let Ok(Admission::Open(site, installation)) = admitted else { panic!("not open") };
        let stored = self.forge.store.installation(site.id, installation.id).await.expect("read");
        self.token_of(&stored.expect("there")).await
    }

    /// A call that an administrator makes on the app's page, now.
    fn page_call(&self, installation: &str) -> Invocation {
        let person = Person { account_id: "admin".to_owned(), site_url: None, is_on_admin_page: true };
        Invocation { person: Some(person), ..self.call(installation) }
    }

    async fn site(&self, site: &Site) -> Site {
        self.forge.store.site(site.id).await.expect("read").expect("there")
    }

    /// What is noted when Jira refuses the site's token.
    async fn refuse(&self, site: &Site) {
        let store = &self.forge.store;
        store.set_condition(site, SiteCondition::CredentialRejected).await.expect("noted");
        self.back_off(site, HoldReason::CredentialRejected).await;
    }

    async fn back_off(&self, site: &Site, reason: HoldReason) {
        let now = self.clock.now();
        let backoff = Backoff { until: now.after(HOUR), consecutive_failures: 5, since: now, reason };
        self.forge.store.begin_backoff(&BackoffScope::Site(site.id), &backoff).await.expect("begun");
    }

    async fn is_outdated(&self, invocation: &Invocation) -> bool {
        matches!(self.admit(invocation).await, Ok(Admission::Outdated))
    }

    async fn token_of(&self, installation: &Installation) -> String {
        let Connection::Forge { token: Some(token), .. } = &installation.connection else {
            panic!("no token")
        };
        let context = Context::installation(installation.site, installation.id, Purpose::SystemToken);
        let opened = self.forge.envelope.open(&token.token, &context).await.expect("opened");
        opened.expose_secret().to_owned()
    }

    /// A site that came in through Connect, with a link, and whose cloud id was proved.
    async fn connect_site(&self) -> (Site, Installation) {
        let (mut site, installation) = crate::store::tests::site();
        site.cloud_id = Some(CLOUD.to_owned());
        site.writer = Some(installation.id);
        self.forge.store.create_site(&site, &installation).await.expect("stored");
        (site, installation)
    }
}

/// F80.
#[tokio::test]
async fn f80_the_first_call_makes_the_site() {
    let setup = Setup::new().await;
    let (site, installation) = setup.open(&setup.call("one")).await;
    assert_eq!(
        (site.base_url.as_str(), site.cloud_id.as_deref()),
        ("https://acme.atlassian.net", Some(CLOUD))
    );
    assert_eq!((site.writer, site.state.condition), (Some(installation.id), SiteCondition::Active));
    assert_eq!(site.needs_resync_since, None);
    assert_eq!(setup.token_of(&installation).await, format!("token of {}", setup.clock.now().0));
}

/// F81.
#[tokio::test]
async fn f81_later_calls_bring_newer_tokens_and_nothing_else() {
    let setup = Setup::new().await;
    let first = setup.call("one");
    let (site, installation) = setup.open(&first).await;
    let asked = setup.gateway.requests().len();
    setup.clock.advance(HOUR);
    let second = setup.call("one");
    let (again, renewed) = setup.open(&second).await;
    assert_eq!((again.id, renewed.id, renewed.installed_at), (site.id, installation.id, first.issued_at));
    assert_eq!(setup.token_of(&renewed).await, format!("token of {}", second.issued_at.0));
    // A duplicate that comes late brings an old token.
    let (_, renewed) = setup.open(&first).await;
    assert_eq!(setup.token_of(&renewed).await, format!("token of {}", second.issued_at.0));
    assert_eq!(setup.gateway.requests().len(), asked);
    assert_eq!(setup.forge.store.sites().await.expect("read").len(), 1);
}

/// F83.
#[tokio::test]
async fn f83_the_app_joins_a_site_of_another_connection_as_a_standby() {
    let setup = Setup::new().await;
    let (site, connect) = setup.connect_site().await;
    let (joined, forge) = setup.open(&setup.call("one")).await;
    assert_eq!((joined.id, joined.writer), (site.id, Some(connect.id)));
    assert_eq!(setup.forge.store.installations(site.id).await.expect("read").len(), 2);
    // Closing one leaves the other.
    setup.clock.advance(HOUR);
    assert!(setup.forge.close(&setup.call("one")).await.expect("closed"));
    let site = setup.forge.store.site(site.id).await.expect("read").expect("there");
    assert_eq!((site.writer, site.state.condition), (Some(connect.id), SiteCondition::Active));
    assert!(setup.forge.store.installation(site.id, forge.id).await.expect("read").is_none());
}

/// F84: Forge has one installation of an app on a site, so a new id means that the app was installed again.
#[tokio::test]
async fn f84_a_new_installation_takes_the_place_of_the_last() {
    let setup = Setup::new().await;
    let (site, _) = setup.open(&setup.call("one")).await;
    let link = crate::store::tests::removal::link(site.id);
    setup.forge.store.create_subscription(&link).await.expect("stored");
    setup.clock.advance(HOUR);
    let (again, second) = setup.open(&setup.call("two")).await;
    assert_eq!((again.id, again.writer), (site.id, Some(second.id)));
    assert!(again.needs_resync_since.is_some(), "Jira has deleted what the last one had sent");
    assert_eq!(setup.forge.store.installations(site.id).await.expect("read").len(), 1);
    // The old one is heard of once more.
    setup.clock.advance(HOUR);
    assert!(setup.is_outdated(&setup.call("one")).await);
    assert_eq!(setup.forge.store.site(site.id).await.expect("read").expect("there").writer, Some(second.id));
    // It turns out that it is the one that is still there.
    setup.clock.advance(3 * HOUR);
    let (back, first) = setup.open(&setup.call("one")).await;
    assert_eq!(back.writer, Some(first.id));
}

/// F68, F69.
#[tokio::test]
async fn f68_an_uninstall_closes_the_connection_and_late_calls_do_not_open_it() {
    let setup = Setup::new().await;
    let call = setup.call("one");
    let (site, installation) = setup.open(&call).await;
    setup.clock.advance(HOUR);
    assert!(setup.forge.close(&setup.call("one")).await.expect("closed"));
    assert!(!setup.forge.close(&setup.call("one")).await.expect("nothing to do"));
    assert!(!setup.forge.close(&setup.call("unknown")).await.expect("nothing to do"));
    let closed = setup.forge.store.site(site.id).await.expect("read").expect("there");
    assert_eq!((closed.writer, closed.state.condition), (None, SiteCondition::Uninstalled));
    setup.clock.advance(LATE_CALLS);
    assert!(setup.is_outdated(&setup.call("one")).await);
    assert!(setup.is_outdated(&call).await);
    // Forge goes on calling: the uninstall failed after all.
    setup.clock.advance(Duration::from_secs(1));
    let (open, again) = setup.open(&setup.call("one")).await;
    assert_eq!((open.writer, again.id), (Some(installation.id), installation.id));
    assert_eq!(open.state.condition, SiteCondition::Active);
}

/// What a call that was killed half-way leaves behind is repaired by the next one.
#[tokio::test]
async fn a_site_whose_writer_is_gone_has_none() {
    let setup = Setup::new().await;
    let (site, first) = setup.open(&setup.call("one")).await;
    // Killed after the connection was made, before it wrote.
    setup.forge.store.update_site(site.id, |site| site.writer = None).await.expect("changed");
    setup.clock.advance(HOUR);
    assert_eq!(setup.open(&setup.call("one")).await.0.writer, Some(first.id));
    // Killed in the middle of an uninstall.
    setup.forge.store.delete_installation(&first).await.expect("deleted");
    setup.clock.advance(HOUR);
    let (again, second) = setup.open(&setup.call("two")).await;
    assert_eq!((again.id, again.writer), (site.id, Some(second.id)));
}

/// FF2: Forge brings a new token because the last may not be good any more, whatever it says of its end.
#[tokio::test]
async fn ff2_the_newest_token_wins_however_soon_it_ends() {
    let setup = Setup::new().await;
    let lasting =
        |setup: &Setup, hours| jwt(json!({ "exp": setup.clock.now().after(hours * HOUR).seconds() }));
    let (long, first) = (lasting(&setup, 4), setup.call("one"));
    setup.keep(&first, &long).await;
    setup.clock.advance(HOUR);
    let (short, second) = (lasting(&setup, 1), setup.call("one"));
    assert_eq!(setup.keep(&second, &short).await, short);
    // A duplicate that comes late brings nothing new, and a token that has ended is none.
    assert_eq!(setup.keep(&first, &long).await, short);
    setup.clock.advance(HOUR / 2);
    assert_eq!(setup.keep(&setup.call("one"), &lasting(&setup, 0)).await, short);
}

/// FF2: the site goes on with the next token, and at once.
#[tokio::test]
async fn ff2_a_token_that_jira_refuses_gives_way() {
    let setup = Setup::new().await;
    let first = setup.call("one");
    let (site, _) = setup.open(&first).await;
    setup.refuse(&site).await;
    // The same call again, and one that was sent before it.
    assert_eq!(setup.keep(&first, "the refused one").await, format!("token of {}", first.issued_at.0));
    assert_eq!(setup.site(&site).await.state.condition, SiteCondition::CredentialRejected);
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!(setup.keep(&setup.call("one"), "the next").await, "the next");
    assert_eq!(setup.site(&site).await.state.condition, SiteCondition::Active);
    let backoff = setup.forge.store.backoff(&BackoffScope::Site(site.id)).await.expect("read");
    assert!(backoff.is_none(), "{backoff:?}");
}

/// FF1: a pause that Jira asked for is not ended by a token.
#[tokio::test]
async fn ff1_a_token_ends_no_pause_but_its_own() {
    let setup = Setup::new().await;
    let (site, _) = setup.open(&setup.call("one")).await;
    setup.refuse(&site).await;
    setup.back_off(&site, HoldReason::SiteRateLimited).await;
    setup.clock.advance(Duration::from_secs(60));
    setup.open(&setup.call("one")).await;
    assert!(setup.forge.store.backoff(&BackoffScope::Site(site.id)).await.expect("read").is_some());
}

/// FF3: only where Forge itself has brought nothing that works.
#[tokio::test]
async fn ff3_a_pages_token_never_outranks_one_that_forge_brings_by_itself() {
    let setup = Setup::new().await;
    let minute = Duration::from_secs(60);
    // There is none yet.
    assert_eq!(setup.keep(&setup.page_call("one"), "of the page").await, "of the page");
    setup.clock.advance(minute);
    assert_eq!(setup.keep(&setup.page_call("one"), "of the page again").await, "of the page again");
    // Sent before the page's, and come after.
    let hourly = Invocation { issued_at: setup.clock.now().before(minute), ..setup.call("one") };
    assert_eq!(setup.keep(&hourly, "hourly").await, "hourly");
    setup.clock.advance(minute);
    let lasting = jwt(json!({ "exp": setup.clock.now().after(4 * HOUR).seconds() }));
    assert_eq!(setup.keep(&setup.page_call("one"), &lasting).await, "hourly");
    // The hourly one has expired.
    setup.clock.advance(4 * HOUR);
    assert_eq!(setup.keep(&setup.page_call("one"), "in the gap").await, "in the gap");
    setup.clock.advance(minute);
    assert_eq!(setup.keep(&setup.call("one"), "after the gap").await, "after the gap");
}

/// FF3, FF2: a token that Jira refused is not kept again when its call is repeated.
#[tokio::test]
async fn ff3_a_pages_token_stands_in_for_one_that_jira_refuses() {
    let setup = Setup::new().await;
    let first = setup.call("one");
    let (site, _) = setup.open(&first).await;
    setup.refuse(&site).await;
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!(setup.keep(&setup.page_call("one"), "of the page").await, "of the page");
    assert_eq!(setup.site(&site).await.state.condition, SiteCondition::Active);
    assert_eq!(setup.keep(&first, "the refused one").await, "of the page");
    let between = Invocation { issued_at: first.issued_at.after(Duration::from_secs(30)), ..first };
    assert_eq!(setup.keep(&between, "hourly").await, "hourly");
}

/// FF4, FF5: an installation is of one site.
#[tokio::test]
async fn ff4_ff5_an_installation_of_one_site_with_the_id_of_another_changes_nothing() {
    const OTHER: &str = "11111111-8888-7777-6666-555555555555";
    let setup = Setup::new().await;
    let (site, _) = setup.open(&setup.call("one")).await;
    let gateway = setup.forge.api_base_url(OTHER);
    let other = |installation: &str| Invocation::for_test(installation, OTHER, &gateway, setup.clock.now());
    setup.open(&other("two")).await;
    let everything = async || {
        let store = &setup.forge.store;
        let mut all = String::new();
        for site in store.sites().await.expect("read") {
            all += &format!("{site:?}{:?}", store.installations(site.id).await.expect("read"));
        }
        all
    };
    setup.clock.advance(HOUR);
    let before = everything().await;
    let page = Invocation { person: setup.page_call("one").person, ..other("one") };
    for call in [other("one"), page] {
        assert!(matches!(setup.admit(&call).await, Err(ForgeError::OtherSite(_))), "FF4");
        assert!(matches!(setup.forge.close(&call).await, Err(ForgeError::OtherSite(_))), "FF5");
    }
    assert_eq!(everything().await, before);
    // Nor when it was uninstalled.
    assert!(setup.forge.close(&setup.call("one")).await.expect("closed"));
    setup.clock.advance(HOUR);
    let before = everything().await;
    assert!(matches!(setup.admit(&other("one")).await, Err(ForgeError::OtherSite(_))));
    assert_eq!(everything().await, before);
    assert_eq!(setup.open(&setup.call("one")).await.0.id, site.id);
}

#[tokio::test]
async fn an_uninstall_older_than_the_install_changes_nothing() {
    let setup = Setup::new().await;
    let early = setup.call("one");
    setup.clock.advance(HOUR);
    let (site, _) = setup.open(&setup.call("one")).await;
    assert!(!setup.forge.close(&early).await.expect("nothing to do"));
    assert!(setup.forge.store.site(site.id).await.expect("read").expect("there").writer.is_some());
}

/// F86.
#[tokio::test]
async fn f86_calls_at_the_same_time_make_one_site() {
    let setup = Setup::new().await;
    let call = setup.call("one");
    let (one, two, three) = tokio::join!(setup.admit(&call), setup.admit(&call), setup.admit(&call));
    for admission in [one, two, three] {
        assert!(matches!(admission, Ok(Admission::Open(..))), "{admission:?}");
    }
    assert_eq!(setup.forge.store.sites().await.expect("read").len(), 1);
}

#[tokio::test]
async fn the_address_is_learnt_as_soon_as_somebody_tells() {
    let setup = Setup::new().await;
    setup.gateway.answer(&format!("/ex/jira/{CLOUD}/rest/api/3/serverInfo"), Answer::new(403, ""));
    let (site, _) = setup.open(&setup.call("one")).await;
    assert_eq!(site.base_url, setup.forge.api_base_url(CLOUD));
    let mut page = setup.call("one");
    let person = |url: &str| Person {
        account_id: "admin".to_owned(),
        site_url: Some(url.to_owned()),
        is_on_admin_page: true,
    };
    // F82: what is no address of a site changes nothing.
    page.person = Some(person("not a url"));
    assert_eq!(setup.open(&page).await.0.base_url, site.base_url);
    page.person = Some(person("https://evil.example"));
    assert_eq!(setup.open(&page).await.0.base_url, site.base_url);
    page.person = Some(person("https://acme.atlassian.net/"));
    assert_eq!(setup.open(&page).await.0.base_url, "https://acme.atlassian.net");
    page.person = Some(person("https://renamed.atlassian.net"));
    assert_eq!(setup.open(&page).await.0.base_url, "https://renamed.atlassian.net");
}

#[tokio::test]
async fn only_listed_sites_get_in() {
    let setup = Setup::listing(&["other.atlassian.net"]).await;
    assert!(matches!(setup.admit(&setup.call("one")).await, Err(ForgeError::NotAllowed(_))));
    setup.gateway.answer(&format!("/ex/jira/{CLOUD}/rest/api/3/serverInfo"), Answer::new(503, ""));
    assert!(matches!(setup.admit(&setup.call("one")).await, Err(ForgeError::NoAddress)));
    assert!(setup.forge.store.sites().await.expect("read").is_empty());
    let setup = Setup::listing(&["ACME.atlassian.net"]).await;
    assert!(matches!(setup.admit(&setup.call("one")).await, Ok(Admission::Open(..))));
}

#[tokio::test]
async fn an_api_that_lies_elsewhere_is_never_called() {
    let setup = Setup::new().await;
    let mut call = setup.call("one");
    for url in ["https://evil.example/ex/jira/x", "", &setup.gateway.url("/ex/jira/another")] {
        url.clone_into(&mut call.api_base_url);
        assert!(matches!(setup.admit(&call).await, Err(ForgeError::ApiUrl(_))), "{url}");
    }
    assert!(setup.gateway.requests().is_empty());
}

#[tokio::test]
async fn a_token_ends_the_wait_for_it() {
    let setup = Setup::new().await;
    let (site, _) = setup.open(&setup.call("one")).await;
    setup.forge.store.set_condition(&site, SiteCondition::AwaitingToken).await.expect("noted");
    setup.clock.advance(6 * HOUR);
    assert_eq!(setup.open(&setup.call("one")).await.0.state.condition, SiteCondition::Active);
}

#[tokio::test]
async fn a_site_that_an_operator_removed_is_created_again() {
    let setup = Setup::new().await;
    let (site, _) = setup.open(&setup.call("one")).await;
    setup.forge.store.delete_site(&site).await.expect("removed");
    let (again, _) = setup.open(&setup.call("one")).await;
    assert_ne!(again.id, site.id);
}

#[test]
fn a_token_is_used_until_shortly_before_it_ends() {
    let sent_at = Timestamp(1_767_607_200_000);
    let minutes =
        |token: &str| usable_until(&SecretString::from(token), sent_at, false).since(sent_at).as_secs() / 60;
    assert_eq!(minutes("opaque"), 115);
    let saying = |exp: i64| jwt(json!({ "exp": exp }));
    assert_eq!(minutes(&saying(sent_at.seconds() + 3 * 3600)), 175);
    assert_eq!(minutes(&saying(sent_at.seconds() + 30 * 3600)), 235);
    assert_eq!(minutes(&saying(sent_at.seconds() - 1)), 0);
}

/// A token that can be read, as some of Forge's can.
fn jwt(claims: serde_json::Value) -> String {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.AQ", encode(json!({ "alg": "RS256" }).to_string()), encode(claims.to_string()))
}
