//! Everything as long as GitLab allows and longer: no field of any kind exceeds what Jira takes, and none that Jira
//! demands is left empty.

use serde_json::Value;

use super::*;

/// What fills every text: markup, an emoji and a control character at its start, letters of two bytes after it.
fn long() -> String {
    format!("<b>🚝\u{7}{}", "é".repeat(3_000))
}

fn long_source() -> Source {
    let project = Project { name: long(), description: Some(long()), path: long(), ..project() };
    source_of(project, INSTANCE, 1)
}

fn long_person() -> Person {
    Person {
        name: long(),
        email: Some(long()),
        username: Some(long()),
        web_url: Some(format!("{INSTANCE}/{}", long())),
        avatar_url: Some(format!("{INSTANCE}/{}", long())),
        ..Person::default()
    }
}

fn long_commit() -> Commit {
    let file = ChangedFile { old_path: long(), new_path: long(), ..file(FileChange::Deleted) };
    Commit {
        message: long(),
        author: long_person(),
        web_url: format!("{PROJECT_URL}/{}", long()),
        files: vec![file; 20],
        ..commit()
    }
}

fn long_merge_request() -> MergeRequest {
    MergeRequest {
        title: long(),
        author: Some(long_person()),
        reviewers: vec![Reviewer { person: long_person(), review_state: ReviewState::Approved }],
        source_branch: long(),
        target_branch: long(),
        source_project_url: Some(format!("{INSTANCE}/{}", long())),
        web_url: format!("{PROJECT_URL}/{}", long()),
        reference: long(),
        ..merge_request()
    }
}

fn long_deployment() -> Deployment {
    Deployment {
        git_ref: long(),
        job: Some(DeploymentJob {
            name: long(),
            web_url: Some(format!("{PROJECT_URL}/{}", long())),
            pipeline_url: Some(format!("{PROJECT_URL}/{}", long())),
            ..deployment().job.expect("it has one")
        }),
        environment: Environment { id: None, name: long(), ..Environment::default() },
        ..deployment()
    }
}

/// One of each kind, as long as can be, as JSON.
fn long_contents() -> Vec<Value> {
    let source = long_source();
    let strategies = vec![FlagStrategy { name: long(), percentage: None, scopes: vec![long()] }];
    let json = |entity: Entity| match entity.content {
        Content::Commit(commit) => serde_json::to_value(commit),
        Content::Branch(branch) => serde_json::to_value(branch),
        Content::PullRequest(pull_request) => serde_json::to_value(pull_request),
        Content::Build(build) => serde_json::to_value(build),
        Content::Deployment(deployment) => serde_json::to_value(deployment),
        Content::FeatureFlag(flag) => serde_json::to_value(flag),
        Content::Deleted => panic!("nothing is deleted here"),
    };
    let entities = [
        source.commit(&long_commit(), KNOWN_AT),
        source.branch(&long(), &long_commit(), keys(1), KNOWN_AT),
        source.merge_request(&long_merge_request(), KNOWN_AT, false),
        source
            .build(&Pipeline { git_ref: long(), web_url: long(), ..pipeline() }, KNOWN_AT, false)
            .expect("it has a number"),
        source.deployment(&long_deployment(), KNOWN_AT, false).expect("it has a number"),
        source.feature_flag(&FeatureFlag { name: long(), strategies, ..feature_flag() }, KNOWN_AT),
    ];
    let repository = serde_json::to_value(&*source.repository).expect("JSON");
    entities.into_iter().map(|entity| json(entity).expect("JSON")).chain([repository]).collect()
}

/// Jira's limit on a field, by the name of the field and of the object around it.
fn limit(object: &str, field: &str) -> usize {
    match (object, field) {
        (_, "url" | "avatar" | "uri" | "repositoryUri" | "sourceBranchUrl" | "createPullRequestUrl") => 2_000,
        ("repository", "description") | (_, "message" | "title" | "path") => 1_024,
        ("branch", "name") => 512,
        (_, "email") => 254,
        _ => 255,
    }
}

/// Every text of `value` with its place, the name of its object, and its own name.
fn texts(value: &Value, object: &str, place: &str, found: &mut Vec<(String, usize, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = format!("{place}/{name}");
                match field {
                    Value::String(text) => found.push((place, limit(object, name), text.clone())),
                    field => texts(field, name, &place, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, object, place, found)),
        _ => {}
    }
}

#[test]
fn nothing_is_longer_than_jira_takes() {
    let kinds = ["commit", "branch", "pullRequest", "build", "deployment", "flag", "repository"];
    for (kind, content) in kinds.iter().zip(long_contents()) {
        let mut found = Vec::new();
        texts(&content, kind, kind, &mut found);
        assert!(found.len() > 3, "{content}");
        for (place, limit, text) in found {
            let length = text.chars().count();
            assert!(length <= limit, "{place} has {length} of {limit} characters");
            // A flag has no value, and says so by an empty one.
            assert!(!text.is_empty() || place.ends_with("defaultValue"), "{place} is empty");
            assert!(!text.contains(['🚝', '\u{7}']), "{place}: {text}");
        }
    }
}

/// Half an address leads nowhere, so a shorter one is sent.
#[test]
fn long_addresses_give_way_to_the_project() {
    let branch = content!(source().branch(&long(), &commit(), keys(1), KNOWN_AT), Branch);
    assert_eq!(
        (branch.url.as_str(), branch.create_pull_request_url.as_deref()),
        (PROJECT_URL, Some(PROJECT_URL))
    );
    let files = vec![ChangedFile { new_path: long(), ..file(FileChange::New) }];
    let commit = content!(source().commit(&Commit { files, ..commit() }, KNOWN_AT), Commit);
    assert_eq!(commit.files[0].url, PROJECT_URL);
}

/// The id is that of the whole name, so that names which are equal where they are cut stay apart.
#[test]
fn branches_equal_for_512_characters_stay_apart() {
    let names = ["x", "y"].map(|end| format!("PAY-7-{}{end}", "a".repeat(600)));
    let [first, second] =
        names.map(|name| content!(source().branch(&name, &commit(), keys(1), KNOWN_AT), Branch));
    assert_eq!(first.name, second.name);
    assert_ne!(first.id, second.id);
}

/// A merge request's branch may be cut shorter than the branch itself; their addresses still meet.
#[test]
fn a_merge_requests_branch_is_cut_at_255() {
    let name = format!("PAY-7-{}", "a".repeat(300));
    let merge_request = MergeRequest { source_branch: name.clone(), ..merge_request() };
    let pull_request = content!(source().merge_request(&merge_request, KNOWN_AT, false), PullRequest);
    let branch = content!(source().branch(&name, &commit(), keys(1), KNOWN_AT), Branch);
    assert_eq!((pull_request.source_branch.len(), branch.name.len()), (255, 306));
    assert_eq!(pull_request.source_branch_url, branch.url);
}
