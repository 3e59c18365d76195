//! The demo, clicked through by the person who runs it: its page leads to the app's own, in Jira's frame.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::browser::Browser;

#[tokio::test]
#[ignore = "needs Chromium and its driver: make browser"]
async fn a_person_links_a_group_of_the_demo() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_gitlab-jira"))
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let page = loop {
        let line = lines.next_line().await.unwrap().expect("the demo says its page when the story is over");
        if let Some(page) = line.strip_prefix("The page ") {
            break page.split(' ').next().unwrap().to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let browser = Browser::start().await;
    browser.open(&page).await;
    browser.reads("Link a group yourself").await;
    browser.reads("PAY-7-retry").await;
    browser.look("demo-1").await;

    browser.open(&format!("{page}app")).await;
    browser.enter_frame().await;
    browser.reads("acme/payments").await;
    browser.reads("0 missing of").await;
    browser.look("demo-2-app").await;
    browser.click("Link a group").await;
    browser.click_first("Sign in to http").await;
    let code = browser.authorize_as("ada", true).await.unwrap();
    browser.enter("Code", &code).await;
    browser.click("Continue").await;
    browser.click("Choose acme/mobile").await;
    browser.click("Link acme/mobile").await;
    browser.click("Done").await;
    browser.reads("Linked groups (2)").await;

    browser.open(&page).await;
    browser.reads("PAY-16-wallet").await;
    browser.reads("PAY-17-dark-mode-1").await;
    browser.open(&format!("{page}app")).await;
    browser.enter_frame().await;
    browser.click("Unlink acme/mobile").await;
    browser.click("Unlink").await;
    browser.reads("acme/mobile is unlinked").await;
    browser.open(&page).await;
    browser.reads("You unlinked acme/mobile").await;
    browser.leaves("PAY-16-wallet").await;
}
