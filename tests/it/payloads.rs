//! Webhook bodies that were recorded elsewhere, of older and newer GitLab versions: the folder `payloads/webhooks` of the
//! reference data, which is no part of the repository. Each is delivered to a hook made by hand, with an issue key in its
//! texts, and has to bring what its kind brings.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::CredentialChoice;
use serde_json::Value;
use shared::clock::SystemClock;
use standins::gitlab::{Role, Tier, Version};
use standins::jira::IssueView;

use crate::hostile::webhook::Manual;

/// The names of texts in which people mention issues.
const TEXTS: [&str; 4] = ["message", "title", "description", "note"];

/// For bodies that name no project.
const SOME_GROUP: &str = "some-group";

const IGNORED: &str = "Nothing to do for this kind of event.";

/// What a body is expected to be answered, and to bring to the issue it names: commits, merge requests, builds, flags.
fn expectation(file: &str) -> (&'static str, [usize; 4]) {
    match file {
        "push.json" => ("Accepted.", [2, 0, 0, 0]),
        "merge_request.json" => ("Accepted.", [0, 1, 0, 0]),
        "pipeline.json" => ("Accepted.", [0, 0, 1, 0]),
        "feature_flag.json" => ("Accepted.", [0, 0, 0, 1]),
        // Only the API knows which commits it brings, and this link has no token.
        "deployment.json" => ("The link has no token to read this with.", [0; 4]),
        // An artefact of GitLab's documentation: its names end in blanks, and its project has no id.
        "group_merge_request.json" => ("The event does not say what it is about.", [0; 4]),
        _ => (IGNORED, [0; 4]),
    }
}

/// Appends `key` to every text below `value`.
fn mention(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if TEXTS.contains(&name.trim()) => *text = format!("{text} {key}"),
                    field => mention(field, key),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| mention(value, key)),
        _ => {}
    }
}

fn bodies(reference: &Path) -> Vec<(String, Value)> {
    let folder = reference.join("payloads/webhooks");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
    };
    files.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "json")).map(read).collect()
}

/// The group that a body's project lies in, at the top.
fn top_group(body: &Value) -> String {
    let path = body["project"]["path_with_namespace"].as_str().unwrap_or(SOME_GROUP);
    path.split('/').next().unwrap().to_owned()
}

fn counts(issue: &IssueView) -> [usize; 4] {
    [issue.commits.len(), issue.pull_requests.len(), issue.builds.len(), issue.flags.len()]
}

#[tokio::test]
async fn recorded_bodies_bring_what_their_kind_brings() {
    let Ok(reference) = std::env::var("REFERENCE_DIR") else {
        println!("skipped: no reference folder");
        return;
    };
    let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
    world.install().await.unwrap();
    world.site.add_issue_range("PAY", 1..=100);
    let ada = world.gitlab.user("ada");
    let bodies = bodies(Path::new(&reference));
    assert!(bodies.len() >= 13, "the folder is not whole");
    let mut links = BTreeMap::new();
    for (_, body) in &bodies {
        if let Entry::Vacant(entry) = links.entry(top_group(body)) {
            world.gitlab.group(entry.key(), Tier::Premium).grant(&ada, Role::Owner);
            let token = ada.token(&["api"]);
            let link = Manual::link(&world, entry.key(), &token, CredentialChoice::None).await;
            entry.insert(link);
        }
    }
    for (number, (file, mut body)) in (1..).zip(bodies) {
        let key = format!("PAY-{number}");
        mention(&mut body, &key);
        let answer = links[&top_group(&body)].tell(body.to_string()).await;
        let (sentence, entities) = expectation(&file);
        assert_eq!(answer.status(), 200, "{file}");
        assert_eq!(answer.text().await.unwrap(), sentence, "{file}");
        world.settled().await.unwrap();
        let issue = world.site.issue(&key);
        assert_eq!(counts(&issue), entities, "{file}");
        assert!(issue.deployments.is_empty(), "{file}");
        check(&file, &issue);
    }
}

/// That it is the recorded thing, not just some.
fn check(file: &str, issue: &IssueView) {
    match file {
        "push.json" => {
            let submitted = issue.commits.iter().map(|commit| &commit.submitted);
            let mut authors: Vec<_> =
                submitted.map(|commit| commit["author"]["name"].as_str().unwrap()).collect();
            authors.sort_unstable();
            assert_eq!(authors, ["GitLab dev user", "Jordi Mallach"]);
        }
        "merge_request.json" => assert_eq!(issue.pull_requests[0].status, "OPEN"),
        "pipeline.json" => assert_eq!(issue.builds[0].state, "successful"),
        "feature_flag.json" => assert!(issue.flags[0].enabled),
        _ => {}
    }
}
