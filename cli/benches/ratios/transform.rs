//! Filling a full batch: a call of 1,000 entities from GitLab's facts to JSON.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::{IssueKeys, SubscriptionId};
use shared::gitlab::model::{ChangedFile, Commit, FileChange, MergeRequest, Person, Project};
use shared::sync::apply::pack::pack;
use shared::sync::apply::{Operation, PendingEntity};
use shared::sync::entity::{Entity, Link};
use shared::sync::transform::Source;

use super::{ROUNDS, median, row, timed};

const TIMES: usize = 20;

pub(crate) fn run() {
    let sources: Vec<_> = (1..=10).map(source).collect();
    let batch = || -> Vec<PendingEntity> { sources.iter().flat_map(entities).map(Into::into).collect() };
    let size = batch().len();
    let mut bytes = 0;
    let mut filled = || {
        bytes = pack(batch())
            .iter()
            .map(|call| serde_json::to_vec(&call.body(Operation::Live)).unwrap().len())
            .sum();
    };
    let rounds = (0..ROUNDS).map(|_| timed(TIMES, &mut filled).as_secs_f64() / TIMES as f64).collect();
    let seconds = median(rounds);
    row(
        "a full call of 1,000 entities, from facts to JSON",
        &format!(
            "{:.1} ms for {size} entities and {} KB: {:.1} µs each",
            seconds * 1e3,
            bytes / 1000,
            seconds * 1e6 / size as f64
        ),
    );
}

fn source(id: u64) -> Source {
    let path = format!("acme/p{id}");
    let web_url = format!("https://gitlab.example.com/{path}");
    let project = Project { id, name: format!("p{id}"), web_url, path, ..Project::default() };
    let link = Link { subscription: SubscriptionId::generate(), product: Arc::from("GitLab 19.1.0") };
    Source::new(project, link, "https://gitlab.example.com", 0)
}

fn entities(source: &Source) -> Vec<Entity> {
    let now = Timestamp(1_767_607_200_000);
    let commits = (0..50).map(|number| source.commit(&commit(number), now));
    let branches = (0..25).map(|number| {
        source.branch(&format!("PAY-{number}-branch"), &commit(number), IssueKeys::extract(["PAY-1"]), now)
    });
    let requests = (0..25).map(|number| source.merge_request(&merge_request(number), now, false));
    commits.chain(branches).chain(requests).collect()
}

fn commit(number: u64) -> Commit {
    let message = format!("PAY-{number} Retry webhooks\n\n{}", "Because networks fail. ".repeat(10));
    let file = |index: u64| ChangedFile {
        old_path: format!("src/module_{index}/file.rs"),
        new_path: format!("src/module_{index}/file.rs"),
        change: FileChange::Modified,
        added: 10,
        removed: 2,
    };
    Commit {
        sha: format!("{number:040x}"),
        keys: IssueKeys::extract([message.as_str()]),
        message,
        author: Person {
            name: "Ada".to_owned(),
            email: Some("ada@example.com".to_owned()),
            ..Person::default()
        },
        committed_at: Some(Timestamp(1_767_607_100_000)),
        web_url: format!("https://gitlab.example.com/acme/api/-/commit/{number:040x}"),
        merge: false,
        file_count: Some(10),
        files: (0..10).map(file).collect(),
        parent: None,
    }
}

fn merge_request(number: u64) -> MergeRequest {
    MergeRequest {
        id: number,
        iid: number,
        title: format!("PAY-{number} Retry webhooks"),
        keys: IssueKeys::extract([format!("PAY-{number}").as_str()]),
        state: "opened".to_owned(),
        source_branch: format!("PAY-{number}-branch"),
        target_branch: "main".to_owned(),
        web_url: format!("https://gitlab.example.com/acme/api/-/merge_requests/{number}"),
        reference: format!("acme/api!{number}"),
        ..MergeRequest::default()
    }
}
