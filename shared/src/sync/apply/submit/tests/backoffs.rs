//! What waits, for how long, and what goes on meanwhile: rate limits, refused credentials and sites that do not answer.

use std::sync::atomic::{AtomicU16, Ordering};

use ulid::Ulid;

use super::*;
use crate::sync::apply::Origin;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A status that changes while the test goes on.
#[derive(Clone)]
struct Status(Arc<AtomicU16>);

impl Status {
    fn new(status: u16) -> Self {
        Self(Arc::new(AtomicU16::new(status)))
    }

    fn set(&self, status: u16) {
        self.0.store(status, Ordering::SeqCst);
    }

    fn response(&self) -> Response {
        Response::json(self.0.load(Ordering::SeqCst), &json!({}))
    }
}

/// A world whose Jira answers calls with `part` in their path by a status that changes, and accepts all others.
async fn changing(status: u16, part: &'static str) -> (World, Status) {
    let status = Status::new(status);
    let answering = status.clone();
    let script = move |request: &Request| {
        if request.target.contains(part) { answering.response() } else { accepted() }
    };
    (World::new(script).await, status)
}

fn limited(reason: &str, retry_after: &str) -> Response {
    Response::new(429, "").with("RateLimit-Reason", reason).with("Retry-After", retry_after)
}

/// The end of a wait.
fn until(outcome: &SubmitOutcome) -> Timestamp {
    match outcome {
        SubmitOutcome::Waiting(until, _) => *until,
        other => panic!("it does not wait: {other:?}"),
    }
}

#[tokio::test]
async fn a_burst_limit_backs_off_its_api_only() {
    let world = World::new(|request| {
        if request.target.contains("/builds/") { limited("jira-burst-based", "120") } else { accepted() }
    })
    .await;
    let end = world.in_seconds(120);
    let delivered = world.submit([one_of_each(), vec![build(7, 1)]].concat()).await;
    for one in &delivered {
        match one.pending.entity.key.kind {
            EntityKind::Build => {
                assert_eq!(one.outcome, SubmitOutcome::Waiting(end, HoldReason::ApiRateLimited));
            }
            _ => assert_eq!(one.outcome, SubmitOutcome::Accepted),
        }
    }
    assert_eq!(world.server.lines().len(), 4, "the second project's builds are not even tried");
    assert_eq!(world.backoff(&world.of_api(Api::Builds)).await.map(|backoff| backoff.until), Some(end));
    assert_eq!(world.backoff(&world.of_site()).await, None);

    world.clock.advance(MINUTE);
    assert_eq!(until(&world.submit_one(build(42, 31)).await), end);
    assert_eq!(world.server.lines().len(), 4, "the next batch knows, too");
}

#[tokio::test]
async fn a_success_ends_a_backoff() {
    let (world, status) = changing(429, "/builds/").await;
    let builds = world.of_api(Api::Builds);
    for (answer, seconds) in [(429, Some(30)), (429, Some(60)), (202, None), (429, Some(30))] {
        status.set(answer);
        let outcome = world.submit_one(build(42, 31)).await;
        let backoff = world.backoff(&builds).await.map(|backoff| backoff.until);
        assert_eq!(backoff, seconds.map(|seconds| world.in_seconds(seconds)));
        match backoff {
            Some(end) => assert_eq!(until(&outcome), end),
            None => assert_eq!(outcome, SubmitOutcome::Accepted),
        }
        world.clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn an_exhausted_quota_backs_off_the_site() {
    for reason in ["jira-quota-global-based", "jira-quota-tenant-based"] {
        let world = World::new(move |_| limited(reason, "1800")).await;
        let end = world.in_seconds(1800);
        let delivered = world.submit(one_of_each()).await;
        assert!(delivered.iter().all(|one| until(&one.outcome) == end), "{delivered:?}");
        assert_eq!(world.server.lines().len(), 1);
        assert_eq!(world.condition().await, SiteCondition::Active, "a limit is no fault of the site");
    }
}

#[tokio::test]
async fn too_many_writes_to_one_issue_hold_up_its_entities_only() {
    let world = World::new(|request| {
        if says(request, "HOT-1") { limited("jira-per-issue-on-write", "90") } else { accepted() }
    })
    .await;
    let keyed = |number: usize, keys: &str| source(42).commit(&raw_commit(number, keys), KNOWN_AT);
    let hot = [2, 7];
    let entities = (1..=8).map(|number| keyed(number, if hot.contains(&number) { "HOT-1" } else { "PAY-1" }));
    let waiting = SubmitOutcome::Waiting(world.in_seconds(90), HoldReason::IssueRateLimited);
    for one in world.submit(entities.collect()).await {
        let is_hot = one.pending.entity.associations.issue_keys() == ["HOT-1"];
        assert_eq!(
            one.outcome,
            if is_hot { waiting.clone() } else { SubmitOutcome::Accepted },
            "{}",
            one.pending.entity.label
        );
    }
    for resting in [world.of_api(Api::DevInfo), world.of_site()] {
        assert_eq!(world.backoff(&resting).await, None);
    }
}

/// However short a pause Jira asks for, and where it names none: who has waited longer waits longer.
#[tokio::test]
async fn pauses_for_one_issue_grow_with_how_long_a_message_has_waited() {
    for (asked, expected) in [
        (Some("0"), [(0, 1), (1, 1), (2, 2), (600, 600), (86_400, 900)]),
        (Some("7200"), [(0, 7200), (1, 7200), (2, 7200), (600, 7200), (86_400, 7200)]),
        (None, [(0, 30), (1, 30), (2, 30), (600, 600), (86_400, 900)]),
    ] {
        let world = World::new(move |_| {
            let limit = Response::new(429, "").with("RateLimit-Reason", "jira-per-issue-on-write");
            asked.map_or(limit.clone(), |asked| limit.with("Retry-After", asked))
        })
        .await;
        let held = |(held, _): &(u64, u64)| {
            let held_for = Duration::from_secs(*held);
            let origin = Origin { index: 0, trace: Ulid::nil(), held_for };
            PendingEntity { origins: vec![origin], ..commit(usize::try_from(*held).expect("few")).into() }
        };
        let entities = expected.iter().map(held).collect();
        let submitted = world.submitter().await.submit(entities).await.expect("the store works");
        let waits: Vec<_> =
            submitted.iter().map(|one| until(&one.outcome).since(world.clock.now())).collect();
        assert_eq!(waits, expected.map(|(_, pause)| Duration::from_secs(pause)), "{asked:?}");
    }
}

/// Halving would only write to the issue once more for each half.
#[tokio::test]
async fn a_call_about_nothing_but_the_limited_issue_is_not_halved() {
    let world = World::new(|_| limited("jira-per-issue-on-write", "90")).await;
    let waiting = SubmitOutcome::Waiting(world.in_seconds(90), HoldReason::IssueRateLimited);
    for one in world.submit((1..=8).map(commit).collect()).await {
        assert_eq!(one.outcome, waiting);
    }
    assert_eq!(world.server.lines().len(), 1);
}

#[tokio::test]
async fn without_retry_after_backoffs_grow_to_a_quarter_of_an_hour() {
    let (world, _) = changing(429, "").await;
    for seconds in [30, 60, 120, 240, 480, 900, 900] {
        assert_eq!(until(&world.submit_one(build(42, 31)).await), world.in_seconds(seconds));
        world.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn a_backoff_of_more_than_a_day_is_cut_to_a_day() {
    let world = World::new(|_| limited("jira-quota-tenant-based", "99999999")).await;
    assert_eq!(until(&world.submit_one(commit(1)).await), world.clock.now().after(DAY));
}

/// All of these are about the site; whatever was wrong, a success ends it.
#[tokio::test]
async fn what_is_wrong_with_a_site_is_noted_and_holds_its_work() {
    for (refusal, condition) in [(401, SiteCondition::CredentialRejected), (302, SiteCondition::Renamed)] {
        let (world, status) = changing(refusal, "").await;
        let end = world.in_seconds(30);
        let delivered = world.submit(one_of_each()).await;
        assert!(delivered.iter().all(|one| until(&one.outcome) == end), "{refusal}: {delivered:?}");
        assert_eq!(world.server.lines().len(), 1, "the site is not called");
        assert_eq!(world.condition().await, condition);

        status.set(202);
        world.clock.advance(MINUTE);
        assert_eq!(world.submit_one(commit(1)).await, SubmitOutcome::Accepted);
        assert_eq!(world.condition().await, SiteCondition::Active);
        assert_eq!(world.backoff(&world.of_site()).await, None);
    }
}

#[tokio::test]
async fn a_missing_permission_backs_off_its_api_only() {
    let (world, status) = changing(403, "/builds/").await;
    for one in world.submit(one_of_each()).await {
        match one.pending.entity.key.kind {
            EntityKind::Build => assert_eq!(until(&one.outcome), world.in_seconds(30)),
            _ => assert_eq!(one.outcome, SubmitOutcome::Accepted),
        }
    }
    assert_eq!(world.condition().await, SiteCondition::PermissionMissing);
    assert_eq!(world.submit_one(commit(1)).await, SubmitOutcome::Accepted);
    let condition = world.condition().await;
    assert_eq!(condition, SiteCondition::PermissionMissing, "another API says nothing about this one");
    assert_eq!(world.backoff(&world.of_site()).await, None);

    status.set(202);
    world.clock.advance(MINUTE);
    assert_eq!(world.submit_one(build(42, 31)).await, SubmitOutcome::Accepted);
    assert_eq!(world.condition().await, SiteCondition::Active);
}

/// A backoff that ended long ago must not keep the site from becoming active again.
#[tokio::test]
async fn a_permission_that_is_back_is_noted_even_after_a_burst_elsewhere() {
    let script = Status::new(403);
    let answering = script.clone();
    let world = World::new(move |request| match request.target.as_str() {
        target if target.contains("/builds/") => answering.response(),
        target if target.contains("/featureflags/") => limited("jira-burst-based", "1"),
        _ => accepted(),
    })
    .await;
    world.submit(vec![build(42, 31), flag(800)]).await;
    assert_eq!(world.condition().await, SiteCondition::PermissionMissing);
    script.set(202);
    world.clock.advance(MINUTE);
    assert_eq!(world.submit_one(build(42, 31)).await, SubmitOutcome::Accepted);
    assert_eq!(world.condition().await, SiteCondition::Active);
}

/// Submits again whenever a backoff has ended, and answers how long it took until the site counted as suspended.
async fn suspended_after(response: Response) -> Duration {
    let world = World::new(move |_| response.clone()).await;
    let start = world.clock.now();
    for _ in 0..1_000 {
        let end = until(&world.submit_one(commit(1)).await);
        if world.condition().await == SiteCondition::Suspended {
            return world.clock.now().since(start);
        }
        world.clock.advance(end.since(world.clock.now()));
    }
    panic!("never");
}

/// However soon Jira wants to be asked again.
#[tokio::test]
async fn an_outage_of_a_day_suspends_the_site() {
    let unavailable = Response::new(503, "");
    for response in [unavailable.clone(), unavailable.with("Retry-After", "300")] {
        let after = suspended_after(response).await;
        assert!((DAY..=DAY + 15 * MINUTE).contains(&after), "{after:?}");
    }
}

#[tokio::test]
async fn one_outage_is_not_a_suspension() {
    let (world, status) = changing(503, "").await;
    assert_eq!(until(&world.submit_one(commit(1)).await), world.in_seconds(1));
    assert_eq!(world.condition().await, SiteCondition::Active);
    status.set(202);
    world.clock.advance(MINUTE);
    assert_eq!(world.submit_one(commit(1)).await, SubmitOutcome::Accepted);
    assert_eq!(world.backoff(&world.of_site()).await, None);
}

#[tokio::test]
async fn the_retry_after_of_an_outage_is_honoured() {
    for (asked, seconds) in [("5", 5), ("600", 600)] {
        let world = World::new(move |_| Response::new(503, "").with("Retry-After", asked)).await;
        assert_eq!(until(&world.submit_one(commit(1)).await), world.in_seconds(seconds));
    }
}

#[tokio::test]
async fn a_site_that_can_not_be_reached_backs_off() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("bound");
    let mut world = World::new(|_| accepted()).await;
    world.client = client(Url::parse(&format!("http://{free}")).expect("a URL"), Arc::clone(&world.clock));
    let mut submitter = world.submitter().await;
    let delivered = submitter.submit(pending(one_of_each())).await.expect("the store works");
    assert!(delivered.iter().all(|one| until(&one.outcome) == world.in_seconds(1)), "{delivered:?}");
    assert_eq!(submitter.calls, 1);
}

#[tokio::test]
async fn an_api_that_fails_whatever_it_is_sent_backs_off_and_its_entities_wait() {
    for status in [500, 502, 504] {
        let (world, answer) = changing(status, "/builds/").await;
        let builds = world.of_api(Api::Builds);
        for one in world.submit([one_of_each(), vec![build(42, 32)]].concat()).await {
            match one.pending.entity.key.kind {
                EntityKind::Build => {
                    let reason = HoldReason::ApiUnavailable(status);
                    assert_eq!(one.outcome, SubmitOutcome::Waiting(world.in_seconds(1), reason));
                }
                _ => assert_eq!(one.outcome, SubmitOutcome::Accepted),
            }
        }
        assert_eq!(world.server.lines().len(), 6, "the call and both its halves, and three other APIs");
        assert_eq!(world.backoff(&builds).await.map(|backoff| backoff.until), Some(world.in_seconds(1)));
        assert_eq!(world.backoff(&world.of_site()).await, None);
        assert_eq!(world.condition().await, SiteCondition::Active);

        answer.set(202);
        world.clock.advance(MINUTE);
        assert_eq!(world.submit_one(build(42, 31)).await, SubmitOutcome::Accepted);
        assert_eq!(world.backoff(&builds).await, None);
    }
}

/// An outage of hours costs no attempts, and each pause is longer than the one before.
#[tokio::test]
async fn an_outage_is_waited_for_with_growing_pauses() {
    let (world, _) = changing(500, "").await;
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        assert_eq!(until(&world.submit_one(build(42, 31)).await), world.in_seconds(seconds));
        world.clock.advance(Duration::from_secs(seconds));
    }
}

/// An entity that brings Jira down by itself is to blame, and the others go through.
#[tokio::test]
async fn an_entity_that_fails_alone_while_others_go_through_is_tried_again() {
    let world =
        World::new(
            |request| {
                if commits_of(request).contains(&sha(3)) { Response::new(500, "") } else { accepted() }
            },
        )
        .await;
    for one in world.submit((0..8).map(commit).collect()).await {
        if one.pending.entity.key.id == sha(3) {
            assert!(matches!(one.outcome, SubmitOutcome::Failed(_)), "{:?}", one.outcome);
        } else {
            assert_eq!(one.outcome, SubmitOutcome::Accepted);
        }
    }
    assert_eq!(world.backoff(&world.of_api(Api::DevInfo)).await, None);
}

#[tokio::test]
async fn an_api_that_is_not_there_holds_up_itself_only() {
    let (world, _) = changing(404, "/featureflags/").await;
    for one in world.submit(one_of_each()).await {
        match one.pending.entity.key.kind {
            EntityKind::FeatureFlag => {
                let waiting = SubmitOutcome::Waiting(world.in_seconds(30), HoldReason::ApiNotFound);
                assert_eq!(one.outcome, waiting);
            }
            _ => assert_eq!(one.outcome, SubmitOutcome::Accepted),
        }
    }
    assert_eq!(world.condition().await, SiteCondition::Active);
}

#[tokio::test]
async fn a_site_without_any_api_is_suspended() {
    let (world, _) = changing(404, "").await;
    let delivered = world.submit(one_of_each()).await;
    assert!(delivered.iter().all(|one| until(&one.outcome) == world.in_seconds(30)), "{delivered:?}");
    assert_eq!(world.condition().await, SiteCondition::Suspended);
}

/// However often Jira asks for no pause at all.
#[tokio::test]
async fn a_pause_is_a_second_at_least_and_grows() {
    let world = World::new(|_| limited("jira-quota-tenant-based", "0")).await;
    for seconds in [1, 2, 4, 8] {
        assert_eq!(until(&world.submit_one(commit(1)).await), world.in_seconds(seconds));
        world.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn what_could_not_end_before_the_deadline_is_not_begun() {
    let world = World::new(|_| accepted()).await;
    let deadline = Deadline::after(Duration::from_secs(20));
    let site = world.site().await;
    let mut submitter =
        Submitter::new(&world.client, &world.store, &*world.clock, site, deadline).await.expect("a store");
    for one in submitter.submit(pending(one_of_each())).await.expect("the store works") {
        assert_eq!(one.outcome, SubmitOutcome::Waiting(world.clock.now(), HoldReason::OutOfTime));
    }
    assert!(world.server.requests().is_empty());
}

/// Nobody knows whether such a call arrived.
#[tokio::test]
async fn a_site_that_accepts_connections_and_does_not_answer_backs_off() {
    let mut world = World::new(|_| accepted().after(Duration::from_millis(500))).await;
    let impatient = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(50)).build();
    let clock = Arc::clone(&world.clock);
    world.client = JiraClient::new(impatient.expect("a client"), clock, world.server.url(), connect_access());
    let waiting = SubmitOutcome::Waiting(world.in_seconds(1), HoldReason::SiteUnavailable(None));
    let submitted = world.submit(one_of_each()).await;
    assert!(submitted.iter().all(|one| one.outcome == waiting), "{submitted:?}");
    assert_eq!(world.server.requests().len(), 1, "one time-out is enough");
}

/// A credential that gives no token loses nothing: what it was to send waits for a better one.
#[tokio::test]
async fn a_revoked_credential_holds_work_and_rejects_none() {
    for status in [400, 401, 403] {
        let mut world =
            World::new(move |_| Response::json(status, &json!({"error": "invalid_client"}))).await;
        let access = Authentication::OauthCredentials {
            api_url: world.server.url(),
            cloud_id: "cloud-1".to_owned(),
            client_id: "client-1".to_owned(),
            client_secret: SecretString::from("client-secret"),
            tokens: AccessTokens::default(),
        };
        world.client = JiraClient::new(http(), Arc::clone(&world.clock) as _, world.server.url(), access);
        let delivered =
            world.submitter().await.submit(pending(one_of_each())).await.expect("the store works");
        let end = world.in_seconds(30);
        assert!(delivered.iter().all(|one| until(&one.outcome) == end), "{status}: {delivered:?}");
        assert_eq!(world.condition().await, SiteCondition::CredentialRejected);
    }
}

/// Another connection took over after the batch began: nothing more goes through this one.
#[tokio::test]
async fn a_connection_that_does_not_write_any_more_sends_nothing() {
    let world = World::new(|_| accepted()).await;
    for change in [
        |site: &mut Site| site.writer = Some(InstallationId::generate()),
        |site: &mut Site| site.state.condition = SiteCondition::Switching,
    ] {
        let mut submitter = world.submitter().await;
        world.store.update_site(world.site, change).await.expect("changed");
        let gone = Entity { content: Content::Deleted, ..commit(2) };
        let delivered = submitter.submit(pending(vec![commit(1), gone])).await.expect("the store works");
        assert!(
            delivered.iter().all(|delivered| matches!(delivered.outcome, SubmitOutcome::Waiting(..))),
            "{delivered:?}"
        );
    }
    assert!(world.server.requests().is_empty());
}

/// What was sent after an unlink has deleted everything would stay in Jira for good.
#[tokio::test]
async fn a_link_is_looked_at_before_each_call() {
    let world = World::new(|_| accepted()).await;
    let mut submitter = world.submitter().await;
    let pending_link = |link: &mut Subscription| link.state = SubscriptionState::Pending;
    world.store.update_subscription(link_id(), pending_link).await.expect("changed");
    for one in submitter.submit(pending(one_of_each())).await.expect("the store works") {
        let waiting = SubmitOutcome::Waiting(world.in_seconds(30), HoldReason::LinkChanging);
        assert_eq!(one.outcome, waiting);
    }
    let link = world.store.subscription(link_id()).await.expect("read").expect("stored");
    world.store.delete_subscription(&link).await.expect("removed");
    for one in submitter.submit(pending(one_of_each())).await.expect("the store works") {
        assert_eq!(one.outcome, SubmitOutcome::Unlinked);
    }
    assert!(world.server.requests().is_empty());
}
