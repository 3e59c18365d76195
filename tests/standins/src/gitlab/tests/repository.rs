//! Branches, commits, diffs and comparisons.

use axum::http::StatusCode;
use serde_json::json;
use time::macros::datetime;

use super::{Scene, Version};
use crate::gitlab::{commit, merge_request};

#[tokio::test]
async fn branches_are_found_by_name_and_age() {
    let scene = Scene::new(Version::V19_1).await;
    scene.project.push("feature/PAY-7", [commit("new").at(datetime!(2030-01-01 12:00 +2))]).await;
    scene.project.push("old", [commit("old").at(datetime!(2001-01-01 12:00 UTC))]).await;
    let path = |query: &str| scene.project_path(&format!("/repository/branches{query}"));
    assert_eq!(scene.api.get(&path("")).await.texts("name"), ["feature/PAY-7", "main", "old"]);
    assert_eq!(
        scene.api.get(&path("?sort=updated_desc")).await.texts("name"),
        ["feature/PAY-7", "main", "old"]
    );
    assert_eq!(
        scene.api.get(&path("?sort=updated_asc")).await.texts("name"),
        ["old", "main", "feature/PAY-7"]
    );
    assert_eq!(scene.api.get(&path("?search=^feat")).await.texts("name"), ["feature/PAY-7"]);
    assert_eq!(scene.api.get(&path("?regex=PAY-[0-9]")).await.texts("name"), ["feature/PAY-7"]);
    let one = scene.api.get(&path("/feature%2FPAY-7")).await.body;
    assert_eq!(one["commit"]["committed_date"], "2030-01-01T12:00:00.000+02:00");
    scene.project.delete_branch("old").await;
    let gone = scene.api.get(&path("/old")).await;
    assert_eq!(
        (gone.status, &gone.body),
        (StatusCode::NOT_FOUND, &json!({ "message": "404 Branch Not Found" }))
    );
    assert_eq!(scene.api.get(&path("?regex=(")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_commit_has_stats_and_its_whole_address() {
    let scene = Scene::new(Version::V19_1).await;
    let pushed = scene.project.push("main", [commit("PAY-7").file("a", 9, 3).adds("b", 2)]).await;
    let path = scene.project_path(&format!("/repository/commits/{}", pushed.after));
    let read = scene.api.get(&path).await.body;
    assert_eq!(read["stats"], json!({ "additions": 11, "deletions": 3, "total": 14 }));
    assert_eq!(
        (&read["author_email"], &read["short_id"]),
        (&json!("ada@example.com"), &json!(pushed.after[..8]))
    );
    assert!(scene.api.get(&format!("{path}?stats=false")).await.body.get("stats").is_none());
    let short = scene.project_path(&format!("/repository/commits/{}", &pushed.after[..9]));
    assert_eq!(scene.api.get(&short).await.body["id"], json!(pushed.after));
    let unknown = scene.api.get(&scene.project_path("/repository/commits/deadbeefdeadbeef")).await;
    assert_eq!(
        (unknown.status, &unknown.body),
        (StatusCode::NOT_FOUND, &json!({ "message": "404 Commit Not Found" }))
    );
}

#[tokio::test]
async fn lines_can_be_counted_from_the_diff() {
    let scene = Scene::new(Version::V19_1).await;
    let change = commit("PAY-7")
        .file("a", 9, 3)
        .adds("b", 2)
        .deletes("c", 5)
        .moves("d", "e", 1, 1)
        .adds("huge", 20_000);
    let pushed = scene.project.push("main", [change]).await;
    let path = scene.project_path(&format!("/repository/commits/{}/diff", pushed.after));
    let files = scene.api.get(&path).await;
    assert_eq!(files.header("x-total"), "5");
    let counts: Vec<(usize, usize)> = files
        .texts("diff")
        .iter()
        .map(|text| {
            let starting = |sign: char| text.lines().filter(|line| line.starts_with(sign)).count();
            (starting('+'), starting('-'))
        })
        .collect();
    assert_eq!(counts, [(9, 3), (2, 0), (0, 5), (1, 1), (0, 0)], "no text for what is too large");
    assert_eq!(files.body[4]["too_large"], true);
    let kinds: Vec<_> = files
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["new_file"] == true, file["deleted_file"] == true, file["renamed_file"] == true))
        .collect();
    assert_eq!(
        kinds[..4],
        [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
    );
    assert_eq!((&files.body[3]["old_path"], &files.body[3]["new_path"]), (&json!("d"), &json!("e")));
    let second = scene.api.get(&format!("{path}?per_page=2&page=3")).await;
    assert_eq!(second.texts("new_path"), ["huge"]);
}

#[tokio::test]
async fn commits_are_chosen_by_range_time_and_line() {
    let scene = Scene::new(Version::V19_1).await;
    let one =
        scene.project.push("PAY-7", [commit("one").at(datetime!(2020-01-01 0:00 UTC)), commit("two")]).await;
    let request = scene.project.open_merge_request(merge_request("PAY-7", "PAY-7")).await;
    request.merge().await;
    let path = |query: &str| scene.project_path(&format!("/repository/commits?{query}"));
    let titles = async |query: &str| -> Vec<String> {
        scene.api.get(&path(query)).await.texts("title").iter().map(ToString::to_string).collect()
    };
    let merge = "Merge branch 'PAY-7' into 'main'";
    assert_eq!(titles("").await, [merge, "two", "one", "Initial commit"], "the default branch");
    assert_eq!(titles("first_parent=true").await, [merge, "Initial commit"]);
    assert_eq!(titles("ref_name=PAY-7").await, ["two", "one", "Initial commit"]);
    assert_eq!(titles(&format!("ref_name={}..main", one.after)).await, [merge]);
    assert_eq!(titles("ref_name=main&until=2020-06-01T00:00:00Z").await, ["one"]);
    assert_eq!(titles("ref_name=PAY-7&since=2020-06-01T00:00:00Z").await, ["two", "Initial commit"]);
    assert!(titles("ref_name=nothing").await.is_empty());
    assert!(titles("ref_name=deadbeefdead..main").await.is_empty());
    let with_stats = scene.api.get(&path("with_stats=true&per_page=1&page=4")).await.body;
    assert_eq!(with_stats[0]["stats"]["total"], 1);
    assert_eq!(scene.api.get(&path("since=yesterday")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_comparison_lists_what_the_other_lacks() {
    let scene = Scene::new(Version::V19_1).await;
    scene.project.push("PAY-7", [commit("one").adds("a", 1), commit("two").adds("b", 1)]).await;
    scene.project.push("main", [commit("meanwhile")]).await;
    let path = |query: &str| scene.project_path(&format!("/repository/compare?{query}"));
    let compared = scene.api.get(&path("from=main&to=PAY-7")).await.body;
    let titles: Vec<_> =
        compared["commits"].as_array().unwrap().iter().map(|commit| &commit["title"]).collect();
    assert_eq!(titles, ["one", "two"], "oldest first");
    assert_eq!(
        (&compared["commit"]["title"], compared["diffs"].as_array().unwrap().len()),
        (&json!("two"), 2)
    );
    assert_eq!(scene.api.get(&path("from=main&to=main")).await.body["compare_same_ref"], true);
    assert_eq!(scene.api.get(&path("from=main")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.api.get(&path("from=nothing&to=main")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_merge_request_starts_where_its_branch_left() {
    let scene = Scene::new(Version::V19_1).await;
    let base = scene.project.push("main", [commit("base")]).await.after;
    scene.project.push("PAY-7", [commit("one"), commit("two")]).await;
    scene.project.push("main", [commit("meanwhile")]).await;
    scene.project.open_merge_request(merge_request("PAY-7", "PAY-7")).await;
    let read = scene.api.get(&scene.project_path("/merge_requests/1")).await.body;
    assert_eq!(read["diff_refs"]["base_sha"], json!(base));
}
