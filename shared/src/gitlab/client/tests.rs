//! What is asked of GitLab, and what its answers and refusals become. Case ids are those of the acceptance list.

use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::gitlab::model::{Commit, FileChange, Project, ReviewState, TestCounts};
use crate::gitlab::rest::RawCommit;
use crate::jira::client::scripted_server::{Request, Response, ScriptedServer};
use crate::outbound::{HostGuard, RedirectRule, outbound_client};

const TOKEN: &str = "planted-gitlab-token";
const SHA: &str = "9f1c2d3e4b5a69788796a5b4c3d2e1f009182736";

fn client(base: Url) -> GitlabClient {
    let guard = HostGuard::parse("127.0.0.1").expect("a list");
    let http = |rule| outbound_client(&guard, rule, None).expect("a client");
    let http = GitlabHttp { reads: http(RedirectRule::SameOriginGet), writes: http(RedirectRule::None) };
    GitlabClient::new(http, base, SecretString::from(TOKEN))
}

/// A server that says the same to everything, and a client of it.
fn answering(response: Response) -> (ScriptedServer, GitlabClient) {
    scripted(move |_| response.clone())
}

fn scripted(script: impl Fn(&Request) -> Response + Send + Sync + 'static) -> (ScriptedServer, GitlabClient) {
    let server = ScriptedServer::start(script);
    let client = client(server.url());
    (server, client)
}

fn project() -> Project {
    Project {
        id: 42,
        name: "api".to_owned(),
        web_url: "https://gitlab.example.com/acme/api".to_owned(),
        path: "acme/api".to_owned(),
        ..Project::default()
    }
}

fn raw_commit(message: &str) -> Value {
    json!({"id": SHA, "message": message, "author_name": "Ada", "author_email": "ada@example.com",
           "committed_date": "2026-01-05T10:00:00.000+00:00", "parent_ids": ["p1", "p2"]})
}

fn raw_merge_request() -> Value {
    json!({"id": 900, "iid": 7, "title": "PAY-7 retry", "description": "and OPS-1", "state": "opened",
           "source_branch": "PAY-7", "target_branch": "main"})
}

#[tokio::test]
async fn every_call_carries_the_token_in_a_header_only() {
    let (server, client) = answering(Response::json(200, &json!({"id": 1, "username": "ada"})));
    client.user().await.expect("a user");
    let request = server.requests().remove(0);
    assert_eq!(request.line(), "GET /api/v4/user");
    assert_eq!(request.header("authorization"), format!("Bearer {TOKEN}"));
    assert!(!format!("{client:?}").contains(TOKEN));
}

#[tokio::test]
async fn an_instance_below_a_path_keeps_it() {
    let (server, _) = answering(Response::json(200, &json!({"version": "19.1.0"})));
    for base in ["/gitlab", "/gitlab/"] {
        client(server.url().join(base).expect("a URL")).version().await.expect("a version");
    }
    assert_eq!(server.lines(), ["GET /gitlab/api/v4/metadata"; 2]);
}

#[tokio::test]
async fn names_are_one_segment_of_the_path() {
    let (server, client) =
        answering(Response::json(200, &json!({"name": "x", "commit": raw_commit("PAY-7")})));
    for name in ["feature/PAY-7", "a b", "100%#1?x", "été"] {
        client.branch(&project(), name).await.expect("a branch");
    }
    assert_eq!(
        server.lines(),
        [
            "GET /api/v4/projects/42/repository/branches/feature%2FPAY-7",
            "GET /api/v4/projects/42/repository/branches/a%20b",
            "GET /api/v4/projects/42/repository/branches/100%25%231%3Fx",
            "GET /api/v4/projects/42/repository/branches/%C3%A9t%C3%A9",
        ]
    );
}

#[tokio::test]
async fn a_groups_path_is_one_segment_too() {
    let (server, client) = answering(Response::json(200, &json!({"id": 9, "full_path": "acme/pay"})));
    assert_eq!(client.group("acme/pay").await.expect("a group").id, 9);
    assert_eq!(server.lines(), ["GET /api/v4/groups/acme%2Fpay?with_projects=false"]);
}

#[tokio::test]
async fn pages_follow_gitlabs_headers() {
    let (server, client) = scripted(|request| {
        let response = Response::json(200, &json!([raw_commit("PAY-7")]));
        if request.target.contains("page=1&") {
            response.with("X-Next-Page", "2").with("X-Total", "101")
        } else {
            // The last page has the header without a number; large listings have no total.
            response.with("X-Next-Page", "")
        }
    });
    let first = client.commits(&project(), "main..feature/x", 1).await.expect("a page");
    assert_eq!((first.items.len(), first.next, first.total), (1, Some(2), Some(101)));
    let last = client.commits(&project(), "main..feature/x", 2).await.expect("a page");
    assert_eq!((last.items.len(), last.next, last.total), (1, None, None));
    let commits = "GET /api/v4/projects/42/repository/commits?ref_name=main..feature%2Fx";
    assert_eq!(
        server.lines(),
        [format!("{commits}&page=1&per_page=100"), format!("{commits}&page=2&per_page=100")]
    );
}

#[tokio::test]
async fn a_groups_projects_come_with_those_of_subgroups_and_without_shared_ones() {
    let raw = json!({"id": 42, "web_url": "https://gitlab.example.com/acme/api/", "path_with_namespace": "acme/api"});
    let (server, client) = answering(Response::json(200, &json!([raw])));
    let projects = client.group_projects(9, 1).await.expect("a page").items;
    assert_eq!(projects[0].web_url, "https://gitlab.example.com/acme/api");
    let line = server.lines().remove(0);
    for part in ["include_subgroups=true", "with_shared=false", "archived=false", "order_by=id"] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn a_search_is_one_parameter_and_its_order_is_fixed() {
    let raw = json!({"id": 42, "name": "api", "web_url": "https://gitlab.example.com/acme/api",
                     "path_with_namespace": "acme/api", "last_activity_at": "2026-01-05T10:00:00.000Z"});
    let (server, client) = answering(Response::json(200, &json!([raw])).with("X-Total", "7"));
    let page = client.search_projects(9, "a&sort=desc", 3, 20).await.expect("a page");
    let found = &page.items[0];
    assert_eq!((found.project.id, page.total), (42, Some(7)));
    assert_eq!(found.last_activity_at.map(Timestamp::iso8601).as_deref(), Some("2026-01-05T10:00:00.000Z"));
    client.search_projects(9, "", 1, 20).await.expect("a page");
    let projects = "GET /api/v4/groups/9/projects?include_subgroups=true&with_shared=false&archived=false&simple=true\
                    &order_by=id&sort=asc";
    assert_eq!(
        server.lines(),
        [
            format!("{projects}&search=a%26sort%3Ddesc&page=3&per_page=20"),
            format!("{projects}&page=1&per_page=20")
        ]
    );
}

/// What GitLab's answer with this status is read as.
async fn refusal_of(response: Response) -> GitlabError {
    answering(response).1.project(42).await.expect_err("refused")
}

#[tokio::test]
async fn statuses_and_what_they_mean() {
    for (status, body, text) in [
        (401, "", "GitLab refuses the token"),
        (403, "", "the token is not allowed to do this"),
        (404, "", "GitLab does not know it, or hides it from this token"),
        (400, r#"{"error":"scope is missing"}"#, "GitLab refuses: scope is missing"),
        (422, r#"{"message":{"url":["is blocked"]}}"#, r#"GitLab refuses: {"url":["is blocked"]}"#),
        (409, r#"{"message":"taken"}"#, "GitLab refuses: taken"),
        (429, "", "GitLab's rate limit is reached"),
        (500, "<html>", "GitLab failed (HTTP 500)"),
        (502, "", "GitLab failed (HTTP 502)"),
        (503, "", "GitLab is unavailable"),
        (418, "", "GitLab's answer is not understood"),
        (200, "<html>sign in</html>", "GitLab's answer is not understood"),
        (200, "[]", "GitLab's answer is not understood"),
    ] {
        assert_eq!(refusal_of(Response::new(status, body)).await.to_string(), text, "{status}");
    }
}

#[tokio::test]
async fn a_rate_limit_says_for_how_long() {
    for (said, seconds) in
        [(Some("17"), 17), (None, 60), (Some("soon"), 60), (Some("0"), 1), (Some("999999"), 3600)]
    {
        let response = Response::new(429, "Retry later");
        let response = if let Some(said) = said { response.with("Retry-After", said) } else { response };
        match refusal_of(response).await {
            GitlabError::RateLimited { retry_after } => {
                assert_eq!(retry_after.as_secs(), seconds, "{said:?}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_instance_that_is_down_is_unavailable_and_its_address_stays_out_of_errors() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("bound");
    let base = Url::parse(&format!("http://{free}/planted-path")).expect("a URL");
    let error = client(base).project(42).await.expect_err("nobody is there");
    assert!(matches!(error, GitlabError::Unavailable(Some(_))), "{error:?}");
    assert!(!format!("{error:?}").contains("planted"), "{error:?}");
}

#[tokio::test]
async fn an_answer_larger_than_any_page_is_refused() {
    let error = refusal_of(Response::new(200, " ".repeat(MAX_ANSWER + 1))).await;
    assert!(matches!(error, GitlabError::Unexpected(None)), "{error:?}");
}

#[tokio::test]
async fn a_moved_project_is_followed_within_the_instance_and_no_further() {
    let (_, client) = scripted(|request| match request.target.as_str() {
        "/api/v4/projects/42" => Response::new(301, "").with("Location", "/api/v4/projects/43"),
        "/api/v4/projects/43" => Response::json(
            200,
            &json!({"id": 43, "web_url": "https://x", "path_with_namespace": "acme/moved"}),
        ),
        _ => Response::new(302, "").with("Location", "http://127.0.0.1:1/api/v4/projects/43"),
    });
    assert_eq!(client.project(42).await.expect("followed").path, "acme/moved");
    let error = client.project(44).await.expect_err("not followed");
    assert!(matches!(error, GitlabError::Unexpected(None)), "{error:?}");
}

#[tokio::test]
async fn a_write_is_never_redirected() {
    let (server, client) = answering(Response::new(307, "").with("Location", "/elsewhere"));
    client.create_group_token(9, &["api"], 40, "2027-01-01").await.expect_err("not followed");
    assert_eq!(server.lines(), ["POST /api/v4/groups/9/access_tokens"]);
}

#[tokio::test]
async fn versions_are_read_where_this_instance_says_them() {
    let (server, client) = scripted(|request| match request.target.as_str() {
        "/api/v4/version" => Response::json(200, &json!({"version": "15.7.0-ee"})),
        _ => Response::new(404, ""),
    });
    assert_eq!(client.version().await.expect("a version"), "15.7.0-ee");
    assert_eq!(server.lines(), ["GET /api/v4/metadata", "GET /api/v4/version"]);

    let (server, client) = answering(Response::new(401, ""));
    assert!(matches!(client.version().await, Err(GitlabError::Unauthorized)));
    assert_eq!(server.lines().len(), 1, "a refused token is not tried twice");
}

#[tokio::test]
async fn reviewers_come_with_their_states() {
    let reviewer = |state: &str| json!({"user": {"name": "Ada", "username": "ada"}, "state": state});
    let states = ["approved", "reviewed", "requested_changes", "unreviewed", "review_started", "made_up"];
    let (_, client) = answering(Response::json(200, &Value::from(states.map(reviewer).to_vec())));
    let review_states: Vec<_> = client
        .reviewers(&project(), 7)
        .await
        .expect("reviewers")
        .into_iter()
        .map(|one| one.review_state)
        .collect();
    let (reviewed, not_yet) = (ReviewState::Reviewed, ReviewState::Unreviewed);
    assert_eq!(review_states, [ReviewState::Approved, reviewed, reviewed, not_yet, not_yet, not_yet]);
}

#[tokio::test]
async fn an_instance_without_reviewers_says_who_approved() {
    let (server, client) = scripted(|request| {
        if request.target.ends_with("/approvals") {
            Response::json(200, &json!({"approved_by": [{"user": {"name": "Ada", "public_email": ""}}]}))
        } else {
            Response::new(404, "")
        }
    });
    let reviewers = client.reviewers(&project(), 7).await.expect("approvals");
    assert_eq!(reviewers.len(), 1);
    assert_eq!((reviewers[0].review_state, &reviewers[0].person.email), (ReviewState::Approved, &None));
    let merge_request = "GET /api/v4/projects/42/merge_requests/7";
    assert_eq!(server.lines(), [format!("{merge_request}/reviewers"), format!("{merge_request}/approvals")]);
}

#[tokio::test]
async fn only_an_address_that_a_user_shows_is_known() {
    for (shown, email) in
        [(json!("ada@example.com"), Some("ada@example.com")), (json!(""), None), (Value::Null, None)]
    {
        let user = json!({"id": 5, "name": "Ada", "email": "hidden@example.com", "public_email": shown});
        let (server, client) = answering(Response::json(200, &user));
        assert_eq!(client.public_email(5).await.expect("a user").as_deref(), email);
        assert_eq!(server.lines(), ["GET /api/v4/users/5"]);
    }
}

/// New before deleted before renamed, as GitLab's own app tests them.
#[tokio::test]
async fn files_have_one_kind_and_their_lines_are_counted() {
    let file = |new: bool, deleted: bool, renamed: bool| {
        json!({"old_path": "a", "new_path": "b", "new_file": new, "deleted_file": deleted, "renamed_file": renamed,
               "diff": "@@ -1,2 +1,2 @@\n x\n-y\n+z\n"})
    };
    let files = json!([
        file(true, true, true),
        file(false, true, true),
        file(false, false, true),
        file(false, false, false)
    ]);
    let (server, client) = answering(Response::json(200, &files));
    let mut commit = commit("PAY-7");
    client.add_files(&project(), &mut commit).await.expect("files");
    let kinds: Vec<_> = commit.files.iter().map(|file| file.change).collect();
    assert_eq!(kinds, [FileChange::New, FileChange::Deleted, FileChange::Renamed, FileChange::Modified]);
    assert!(commit.files.iter().all(|file| (file.added, file.removed) == (1, 1)));
    assert_eq!(
        server.lines(),
        [format!("GET /api/v4/projects/42/repository/commits/{SHA}/diff?per_page=10")]
    );
}

fn commit(message: &str) -> Commit {
    serde_json::from_value::<RawCommit>(raw_commit(message)).expect("a commit").commit(&project())
}

/// GitLab gives ten of them and says how many there are; where it does not say, the hook's count or these ten stand.
#[tokio::test]
async fn all_files_are_counted() {
    let files = Value::from(vec![json!({"old_path": "a", "new_path": "a"}); 10]);
    for (total, from_hook, count) in [
        (Some("57"), None, 57),
        (Some("57"), Some(20), 57),
        (None, Some(20), 20),
        (None, Some(3), 10),
        (None, None, 10),
    ] {
        let response = Response::json(200, &files);
        let response = if let Some(total) = total { response.with("X-Total", total) } else { response };
        let mut commit = commit("PAY-7");
        commit.file_count = from_hook;
        answering(response).1.add_files(&project(), &mut commit).await.expect("files");
        assert_eq!(commit.file_count, Some(count), "{total:?} {from_hook:?}");
    }
}

#[tokio::test]
async fn a_commit_with_two_parents_is_a_merge() {
    let (_, client) = answering(Response::json(200, &raw_commit("Merge\n\nPAY-7")));
    let commit = client.commit(&project(), SHA).await.expect("a commit");
    assert!(commit.merge);
    assert_eq!(commit.parent.as_deref(), Some("p1"));
    assert_eq!(commit.keys.as_slice(), ["PAY-7"]);
    assert_eq!(commit.web_url, format!("https://gitlab.example.com/acme/api/-/commit/{SHA}"));
}

/// M1 and M2; keys are those of title and description.
#[tokio::test]
async fn a_merge_request_is_read_with_its_notes_counted() {
    for (notes, count) in [(json!(2), 2), (Value::Null, 0)] {
        let mut raw = raw_merge_request();
        if !notes.is_null() {
            raw["user_notes_count"] = notes;
        }
        let (_, client) = answering(Response::json(200, &raw));
        let merge_request = client.merge_request(&project(), 7).await.expect("a merge request");
        assert_eq!(merge_request.notes, count);
        assert_eq!(merge_request.keys.as_slice(), ["PAY-7", "OPS-1"]);
        assert_eq!(merge_request.reference, "acme/api!7");
    }
}

/// KB3: closed merge requests of a branch do not count, so they are not even asked for.
#[tokio::test]
async fn only_open_merge_requests_of_a_branch_are_asked_for() {
    let (server, client) = answering(Response::json(200, &json!([raw_merge_request()])));
    let open = client.open_merge_requests(&project(), "feature/PAY-7").await.expect("a page");
    assert_eq!(open.items.len(), 1);
    assert_eq!(
        server.lines(),
        [
            "GET /api/v4/projects/42/merge_requests?state=opened&source_branch=feature%2FPAY-7&page=1&per_page=100"
        ]
    );
}

/// GitLab's own app counts jobs.
#[tokio::test]
async fn tests_are_counted_and_errors_are_failures() {
    let total = json!({"count": 10, "success": 6, "failed": 2, "skipped": 1, "error": 1});
    let (_, client) = answering(Response::json(200, &json!({"total": total})));
    let counts = client.test_counts(&project(), 5).await.expect("a summary");
    assert_eq!(counts, Some(TestCounts { total: 10, passed: 6, failed: 3, skipped: 1 }));
    let (_, client) = answering(Response::json(200, &json!({"total": {"count": 0}})));
    assert_eq!(client.test_counts(&project(), 5).await.expect("a summary"), None);
}

#[tokio::test]
async fn a_deployment_comes_with_its_job_or_without() {
    let mut raw = json!({"id": 600, "iid": 5, "ref": "main", "sha": SHA, "status": "success",
        "environment": {"id": 3, "name": "live"}, "deployable": {"name": "deploy", "web_url": "https://x/-/jobs/1",
        "pipeline": {"id": 500, "iid": 31, "web_url": "https://x/-/pipelines/500"}}});
    let (_, client) = answering(Response::json(200, &raw));
    let job = client.deployment(&project(), 600).await.expect("a deployment").job.expect("a job");
    assert_eq!((job.pipeline_id, job.pipeline_iid), (Some(500), Some(31)));
    raw["deployable"] = Value::Null;
    let (_, client) = answering(Response::json(200, &raw));
    assert_eq!(client.deployment(&project(), 600).await.expect("a deployment").job, None);
}

#[tokio::test]
async fn earlier_successes_are_asked_for_by_environment_newest_first() {
    let (server, client) = answering(Response::json(200, &json!([])));
    client.successful_deployments(&project(), "review/PAY 7", 2).await.expect("a page");
    assert_eq!(
        server.lines(),
        [
            "GET /api/v4/projects/42/deployments?environment=review%2FPAY+7&status=success&order_by=id&sort=desc&page=2&per_page=100"
        ]
    );
}

/// `flexibleRollout` says `rollout`, others say `percentage`, both as text.
#[tokio::test]
async fn a_flags_percentage_is_read_wherever_it_is() {
    for (parameters, percentage) in [
        (json!({"rollout": "25", "stickiness": "default"}), Some(25.0)),
        (json!({"percentage": "50"}), Some(50.0)),
        (json!({"percentage": 12.5}), Some(12.5)),
        (json!({"percentage": "101"}), None),
        (json!({"percentage": "NaN"}), None),
        (json!({}), None),
        (Value::Null, None),
    ] {
        let strategy = json!({"name": "s", "parameters": parameters, "scopes": [{"environment_scope": "*"}]});
        let raw = json!({"name": "f", "description": "PAY-7", "active": true, "strategies": [strategy]});
        let (server, client) = answering(Response::json(200, &raw));
        let flag = client.feature_flag(&project(), "f").await.expect("a flag");
        assert_eq!(flag.strategies[0].percentage, percentage, "{parameters}");
        assert_eq!(flag.keys.as_slice(), ["PAY-7"]);
        assert_eq!(server.lines(), ["GET /api/v4/projects/42/feature_flags/f"]);
    }
}

#[tokio::test]
async fn a_hook_is_made_for_what_jira_hears_of() {
    let (server, client) = answering(Response::json(201, &json!({"id": 3, "signing_token_present": true})));
    let (token, signing_token) = (SecretString::from("clear"), SecretString::from("whsec_x"));
    let hook = NewHook { url: "https://bundle.example/hook", token: &token, signing_token: &signing_token };
    for owner in [HookOwner::Group(9), HookOwner::Project(42)] {
        assert!(client.create_hook(owner, &hook).await.expect("made").signing_token_present);
    }
    assert_eq!(server.lines(), ["POST /api/v4/groups/9/hooks", "POST /api/v4/projects/42/hooks"]);
    let body = server.requests()[0].json();
    let on: Vec<_> = body
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(name, value)| name.ends_with("_events") && **value == json!(true))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        on,
        [
            "deployment_events",
            "feature_flag_events",
            "merge_requests_events",
            "pipeline_events",
            "push_events"
        ]
    );
    assert_eq!((&body["token"], &body["signing_token"]), (&json!("clear"), &json!("whsec_x")));
}

#[tokio::test]
async fn what_is_gone_counts_as_removed() {
    let (server, client) = answering(Response::json(404, &json!({"message": "404 Not Found"})));
    client.delete_hook(HookOwner::Project(42), 3).await.expect("removed");
    client.delete_group_token(9, 4).await.expect("revoked");
    assert_eq!(
        server.lines(),
        ["DELETE /api/v4/projects/42/hooks/3", "DELETE /api/v4/groups/9/access_tokens/4"]
    );
    let (_, client) = answering(Response::new(403, ""));
    client.delete_hook(HookOwner::Group(9), 3).await.expect_err("still there");
}
