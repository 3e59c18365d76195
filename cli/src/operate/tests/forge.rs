//! `gitlab-jira forge manifest`: the bundle's own addresses, and nothing but the manifest on the terminal.

use super::*;

const APP_ID: &str = "ari:cloud:ecosystem::app/0b2f8c1e-3d4a-4c5b-8e6f-7a8b9c0d1e2f";

fn command(app_id: &str) -> Command {
    Command::ForgeManifest { app_id: app_id.to_owned(), connect_key: None }
}

#[tokio::test]
async fn the_manifest_has_the_bundles_addresses_and_can_be_put_into_a_file() {
    let bench = Bench::new().await;
    let answer = bench.operator.run(command(APP_ID)).await.unwrap();
    assert_eq!(answer.json()["bundle_app_id"], Value::Null);
    let printed = answer.text(&[]);
    assert!(printed.contains(&format!("baseUrl: \"{BASE_URL}\"")), "{printed}");
    assert!(printed.contains(&format!("homeUrl: \"{}\"", bench.gitlab.url())), "{printed}");
    assert_eq!(format!("{printed}\n"), answer.json()["manifest"].as_str().unwrap());
}

#[tokio::test]
async fn a_stack_without_functions_for_forge_and_a_wrong_id_are_refused_with_the_remedy() {
    let mut bench = Bench::new().await;
    let refusal = bench.operator.run(command("my-app")).await.unwrap_err();
    assert!(refusal.sentence.contains("`forge register`"), "{refusal}");
    bench.operator.forge.remotes = None;
    let refusal = bench.operator.run(command(APP_ID)).await.unwrap_err();
    assert!(refusal.sentence.contains("sam deploy"), "{refusal}");
}
