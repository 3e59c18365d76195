//! The transform. Here: one full entity of each kind, as the snapshots beside this file show it, and what all kinds have
//! in common. The files below hold each kind's edge cases; case ids are those of the acceptance list.

mod branch;
mod build;
mod commit;
mod deployment;
mod feature_flag;
mod limits;
mod merge_request;

use insta::assert_json_snapshot;

use super::*;
use crate::domain::{IssueKeys, SubscriptionId};
use crate::gitlab::model::{
    ChangedFile, Commit, Deployment, DeploymentJob, Environment, FeatureFlag, FileChange, FlagStrategy,
    MergeRequest, Pipeline, PipelineMergeRequest, ReviewState, Reviewer, TestCounts,
};

const INSTANCE: &str = "https://gitlab.example.com";
const PROJECT_URL: &str = "https://gitlab.example.com/acme/payments/api";
const SHA: &str = "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736";
const PARENT: &str = "1111111111111111111111111111111111111111";

/// 2026-01-05T10:00:00.123Z: when we read what is sent.
const KNOWN_AT: Timestamp = Timestamp(1_767_607_200_123);

/// 2026-01-05T09:59:00.000Z: when GitLab says it changed.
const CHANGED_AT: Timestamp = Timestamp(1_767_607_140_000);

/// The content of an entity, which must be of the kind called `$kind`.
macro_rules! content {
    ($entity:expr, $kind:ident) => {
        match $entity.content {
            Content::$kind(content) => *content,
            other => panic!("not a {}: {other:?}", stringify!($kind)),
        }
    };
}
use content;

fn project() -> Project {
    Project {
        id: 42,
        name: "api".to_owned(),
        description: Some("Payment API".to_owned()),
        web_url: PROJECT_URL.to_owned(),
        avatar_url: Some("/uploads/-/system/project/avatar/42/api.png".to_owned()),
        path: "acme/payments/api".to_owned(),
        default_branch: Some("main".to_owned()),
    }
}

/// `project` through a link to the site's GitLab instance number `index`.
fn source_of(project: Project, instance: &str, index: usize) -> Source {
    let subscription: SubscriptionId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id");
    let link = Link { subscription, product: Arc::from("GitLab 19.1.0") };
    Source::new(project, link, instance, index)
}

fn source() -> Source {
    source_of(project(), INSTANCE, 0)
}

fn ada() -> Person {
    Person {
        name: "Ada Lovelace".to_owned(),
        email: Some("ada@example.com".to_owned()),
        username: Some("ada".to_owned()),
        web_url: Some("https://gitlab.example.com/ada".to_owned()),
        avatar_url: Some("https://gitlab.example.com/uploads/ada.png".to_owned()),
        ..Person::default()
    }
}

fn file(change: FileChange) -> ChangedFile {
    ChangedFile {
        old_path: "src/old.rs".to_owned(),
        new_path: "src/new.rs".to_owned(),
        change,
        added: 9,
        removed: 3,
    }
}

fn commit() -> Commit {
    let message = "PAY-7 retry the webhook\n\nSee OPS-1.";
    Commit {
        sha: SHA.to_owned(),
        message: message.to_owned(),
        keys: IssueKeys::extract([message]),
        author: ada(),
        committed_at: Some(CHANGED_AT),
        web_url: format!("{PROJECT_URL}/-/commit/{SHA}"),
        merge: true,
        file_count: Some(12),
        files: vec![file(FileChange::Modified), file(FileChange::Deleted)],
        parent: Some(PARENT.to_owned()),
    }
}

fn merge_request() -> MergeRequest {
    let reviewer = |review_state| Reviewer { person: ada(), review_state };
    MergeRequest {
        id: 9_001,
        iid: 7,
        title: "PAY-7 retry".to_owned(),
        keys: IssueKeys::extract(["PAY-7 retry"]),
        state: "opened".to_owned(),
        author: Some(ada()),
        reviewers: [ReviewState::Approved, ReviewState::Reviewed, ReviewState::Unreviewed]
            .map(reviewer)
            .to_vec(),
        notes: 2,
        source_branch: "PAY-7-retry".to_owned(),
        target_branch: "main".to_owned(),
        source_project_id: Some(42),
        updated_at: Some(CHANGED_AT),
        web_url: format!("{PROJECT_URL}/-/merge_requests/7"),
        reference: "acme/payments/api!7".to_owned(),
        ..MergeRequest::default()
    }
}

fn pipeline() -> Pipeline {
    Pipeline {
        id: 5_001,
        iid: Some(31),
        git_ref: "main".to_owned(),
        sha: SHA.to_owned(),
        status: "success".to_owned(),
        updated_at: Some(CHANGED_AT),
        web_url: format!("{PROJECT_URL}/-/pipelines/5001"),
        commit_keys: Some(IssueKeys::extract(["PAY-7"])),
        merge_requests: vec![PipelineMergeRequest {
            iid: 7,
            source_branch: "PAY-7-retry".to_owned(),
            keys: IssueKeys::extract(["PAY-8 PAY-7"]),
        }],
        tests: Some(TestCounts { total: 10, passed: 7, failed: 2, skipped: 1 }),
        ..Pipeline::default()
    }
}

fn deployment() -> Deployment {
    Deployment {
        id: 6_001,
        iid: Some(5),
        status: "success".to_owned(),
        updated_at: Some(CHANGED_AT),
        git_ref: "main".to_owned(),
        sha: SHA.to_owned(),
        job: Some(DeploymentJob {
            name: "deploy".to_owned(),
            web_url: Some(format!("{PROJECT_URL}/-/jobs/77")),
            pipeline_id: Some(5_001),
            pipeline_iid: Some(31),
            pipeline_url: Some(format!("{PROJECT_URL}/-/pipelines/5001")),
        }),
        environment: Environment {
            id: Some(3),
            name: "live".to_owned(),
            tier: Some("production".to_owned()),
            external_url: Some("https://api.example.com".to_owned()),
        },
        keys: IssueKeys::extract(["PAY-7"]),
    }
}

/// M8's flag.
fn feature_flag() -> FeatureFlag {
    FeatureFlag {
        name: "new-checkout".to_owned(),
        keys: IssueKeys::extract(["THING-123"]),
        active: true,
        updated_at: Some(CHANGED_AT),
        strategies: vec![FlagStrategy {
            name: "gradualRolloutUserId".to_owned(),
            percentage: Some(50.0),
            scopes: vec!["production in live".to_owned(), "staging".to_owned(), "*".to_owned()],
        }],
    }
}

/// `count` keys in a row: `PAY-1` and so on.
fn keys(count: usize) -> IssueKeys {
    let text = (1..=count).map(|number| format!("PAY-{number} ")).collect::<String>();
    IssueKeys::extract([text.as_str()])
}

#[test]
fn a_repository() {
    assert_json_snapshot!(*source().repository);
}

#[test]
fn a_commit() {
    assert_json_snapshot!(content!(source().commit(&commit(), KNOWN_AT), Commit));
}

#[test]
fn a_branch() {
    let entity = source().branch("PAY-7-retry", &commit(), IssueKeys::extract(["PAY-7"]), KNOWN_AT);
    assert_json_snapshot!(content!(entity, Branch));
}

#[test]
fn a_merge_request() {
    assert_json_snapshot!(content!(source().merge_request(&merge_request(), KNOWN_AT, false), PullRequest));
}

#[test]
fn a_build() {
    let entity = source().build(&pipeline(), KNOWN_AT, false).expect("it has a number");
    assert_json_snapshot!(content!(entity, Build));
}

#[test]
fn a_deployment() {
    let entity = source().deployment(&deployment(), KNOWN_AT, false).expect("it has a number");
    assert_json_snapshot!(content!(entity, Deployment));
}

#[test]
fn a_feature_flag() {
    assert_json_snapshot!(content!(source().feature_flag(&feature_flag(), KNOWN_AT), FeatureFlag));
}

/// One of each kind, all from `source`.
fn one_of_each(source: &Source) -> Vec<Entity> {
    vec![
        source.commit(&commit(), KNOWN_AT),
        source.branch("main", &commit(), IssueKeys::extract(["PAY-7"]), KNOWN_AT),
        source.merge_request(&merge_request(), KNOWN_AT, false),
        source.build(&pipeline(), KNOWN_AT, false).expect("it has a number"),
        source.deployment(&deployment(), KNOWN_AT, false).expect("it has a number"),
        source.feature_flag(&feature_flag(), KNOWN_AT),
    ]
}

/// What the entities are called by: kind, project and id.
fn ids(entities: &[Entity]) -> Vec<String> {
    entities
        .iter()
        .map(|entity| format!("{} {} {}", entity.key.kind, entity.key.project, entity.key.id))
        .collect()
}

#[test]
fn the_first_instance_has_plain_ids() {
    assert_eq!(
        ids(&one_of_each(&source())),
        [
            format!("commit 42 {SHA}"),
            format!("branch 42 {}", branch_id("main")),
            "pull_request 42 9001".to_owned(),
            "build 42 42-982786bd3f22691354ce8cf977cf260a/31".to_owned(),
            "deployment 42 5001/3/5".to_owned(),
            "feature_flag 42 42-new-checkout".to_owned(),
        ]
    );
}

/// Commits and branches are told apart by their repository's id.
#[test]
fn further_instances_put_a_hash_of_their_address_before_every_id() {
    let second = source_of(project(), "https://gitlab.second.example", 1);
    assert_eq!(
        ids(&one_of_each(&second)),
        [
            format!("commit b4f1ca6c-42 {SHA}"),
            format!("branch b4f1ca6c-42 {}", branch_id("main")),
            "pull_request b4f1ca6c-42 b4f1ca6c-9001".to_owned(),
            "build b4f1ca6c-42 b4f1ca6c-42-982786bd3f22691354ce8cf977cf260a/31".to_owned(),
            "deployment b4f1ca6c-42 b4f1ca6c-5001/b4f1ca6c-3/5".to_owned(),
            "feature_flag b4f1ca6c-42 b4f1ca6c-42-new-checkout".to_owned(),
        ]
    );
    assert_eq!(second.repository.id, "b4f1ca6c-42");
}

#[test]
fn the_content_carries_the_ids_of_the_key() {
    for source in [source(), source_of(project(), "https://gitlab.second.example", 1)] {
        for entity in one_of_each(&source) {
            let id = match &entity.content {
                Content::Commit(commit) => commit.id.clone(),
                Content::Branch(branch) => branch.id.clone(),
                Content::PullRequest(pull_request) => pull_request.id.clone(),
                Content::Build(build) => format!("{}/{}", build.pipeline_id, build.build_number),
                Content::Deployment(deployment) => format!(
                    "{}/{}/{}",
                    deployment.pipeline.id, deployment.environment.id, deployment.deployment_sequence_number
                ),
                Content::FeatureFlag(flag) => flag.id.clone(),
                Content::Deleted => panic!("nothing is deleted here"),
            };
            assert_eq!(entity.key.id, id);
        }
    }
}

#[test]
fn of_a_branch_and_its_end_the_later_one_counts() {
    let source = source();
    let at = |after: i64| Timestamp(KNOWN_AT.0 + after);
    let made = |after| source.branch("main", &commit(), keys(1), at(after)).version;
    let gone =
        |after| source.deleted(source.branch_key("main"), "main".to_owned(), keys(1), at(after)).version;
    assert!(gone(1).supersedes(&made(0)) && !gone(0).supersedes(&made(1)));
    assert!(made(1).supersedes(&gone(0)) && !made(0).supersedes(&gone(1)));
}

/// C54 and C27: Jira takes 500 values, and the first 500 are kept in order with all else intact.
#[test]
fn more_keys_than_jira_takes_are_cut_and_counted() {
    for (count, dropped) in [(100, 0), (501, 1), (700, 200)] {
        let keys = keys(count);
        let source = source();
        let commit = Commit { keys: keys.clone(), ..commit() };
        let pipeline = Pipeline { commit_keys: Some(keys.clone()), merge_requests: Vec::new(), ..pipeline() };
        let entities = [
            source.commit(&commit, KNOWN_AT),
            source.branch("main", &commit, keys.clone(), KNOWN_AT),
            source.merge_request(&MergeRequest { keys: keys.clone(), ..merge_request() }, KNOWN_AT, false),
            source.build(&pipeline, KNOWN_AT, false).expect("it has a number"),
            source
                .deployment(&Deployment { keys: keys.clone(), ..deployment() }, KNOWN_AT, false)
                .expect("it has a number"),
            source.feature_flag(&FeatureFlag { keys: keys.clone(), ..feature_flag() }, KNOWN_AT),
        ];
        let expected: Vec<_> = (1..=count.min(500)).map(|number| format!("PAY-{number}")).collect();
        for entity in entities {
            assert_eq!(entity.associations.issue_keys.dropped(), dropped, "{}", entity.label);
            for sent in sent_keys(&entity.content) {
                assert_eq!(sent, expected, "{}", entity.label);
            }
        }
    }
}

/// Every list of keys in a content.
fn sent_keys(content: &Content) -> Vec<&[String]> {
    match content {
        Content::Commit(commit) => vec![&commit.issue_keys],
        Content::Branch(branch) => vec![&branch.issue_keys, &branch.last_commit.issue_keys],
        Content::PullRequest(pull_request) => vec![&pull_request.issue_keys],
        Content::Build(build) => vec![&build.issue_keys],
        Content::Deployment(deployment) => {
            deployment.associations.iter().map(|association| association.values.as_slice()).collect()
        }
        Content::FeatureFlag(flag) => vec![&flag.issue_keys],
        Content::Deleted => Vec::new(),
    }
}

#[test]
fn every_kind_carries_the_moment_it_was_known_as_its_number() {
    for mut entity in one_of_each(&source()) {
        assert_eq!(
            numbers(&entity.content),
            vec![KNOWN_AT.0; numbers(&entity.content).len()],
            "{}",
            entity.label
        );
        entity.set_number(KNOWN_AT.0 + 5);
        assert!(numbers(&entity.content).iter().all(|number| *number == KNOWN_AT.0 + 5), "{}", entity.label);
    }
}

fn numbers(content: &Content) -> Vec<i64> {
    match content {
        Content::Commit(commit) => vec![commit.update_sequence_id],
        Content::Branch(branch) => vec![branch.update_sequence_id, branch.last_commit.update_sequence_id],
        Content::PullRequest(pull_request) => vec![pull_request.update_sequence_id],
        Content::Build(build) => vec![build.update_sequence_number],
        Content::Deployment(deployment) => vec![deployment.update_sequence_number],
        Content::FeatureFlag(flag) => vec![flag.update_sequence_id],
        Content::Deleted => Vec::new(),
    }
}

#[test]
fn people_without_an_account_are_named_as_well_as_can_be() {
    let author = |person: Person| source().author(&person);
    let nobody = author(Person::default());
    assert_eq!((nobody.name.as_str(), nobody.email, nobody.url), ("Unknown", None, None));
    let by_username = author(Person { username: Some("ada".to_owned()), ..Person::default() });
    assert_eq!(by_username.name, "ada");
    assert_eq!(by_username.url.as_deref(), Some("https://gitlab.example.com/ada"));
    let odd = author(Person {
        email: Some(format!("{}@example.com", "a".repeat(254))),
        web_url: Some("javascript:alert(1)".to_owned()),
        avatar_url: Some("/uploads/ada.png".to_owned()),
        ..ada()
    });
    assert_eq!((odd.email, odd.url), (None, None));
    assert_eq!(odd.avatar.as_deref(), Some("https://gitlab.example.com/uploads/ada.png"));
}
