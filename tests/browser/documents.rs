//! The pictures of the page in documents: `make picture` takes them.

use standins::gitlab::{Role, Tier, commit, merge_request};

use super::browser::Browser;
use super::{forge, look, world};

/// What is linked in the pictures: project, branch and title of a merge request.
const WORK: [(&str, &str, &str); 3] = [
    ("api", "PAY-7-retry", "PAY-7 Retry failed webhooks"),
    ("ledger", "rounding", "PAY-11 Round amounts, encoded as UTF-8"),
    ("ops", "OPS-3-keys", "OPS-3 Rotate the keys"),
];

#[tokio::test]
#[ignore = "needs Chromium and its driver: make picture"]
async fn a_person_gets_pictures_for_documents() {
    let Some(folder) = look::documents() else { return };
    let world = world().await;
    world.site.add_issue_range("PAY", 1..=20);
    world.site.add_issue_range("OPS", 1..=3);
    let ada = world.gitlab.user("ada").with_public_email();
    let group = world.gitlab.group("acme/payments", Tier::Premium);
    group.grant(&ada, Role::Owner);
    for (project, branch, title) in WORK {
        let project = group.project(project).acting_as(&ada);
        project.push(branch, [commit(title).adds("a.rs", 1)]).await;
        project.open_merge_request(merge_request(branch, title)).await;
    }
    let frame = forge(&world).await;
    let browser = Browser::start().await;
    browser.open(frame.url()).await;
    browser.enter_frame().await;
    let (sign_in, gitlab) = (format!("Sign in to {}", world.gitlab.url()), world.gitlab.url().to_owned());
    let site = world.site.base_url().replace("http://", "");
    let names =
        [(sign_in.as_str(), "Sign in to GitLab"), (&gitlab, "GitLab.com"), (&site, "acme.atlassian.net")];

    browser.click("Link a group").await;
    browser.reads(&sign_in).await;
    browser.picture_for_documents(&folder, "page-sign-in", &names).await;
    // It was told otherwise; this shows it anew.
    browser.click("Back").await;
    browser.click("Link a group").await;
    browser.click(&sign_in).await;
    let code = browser.authorize_as("ada", true).await.unwrap();
    browser.enter("Code", &code).await;
    browser.click("Continue").await;
    browser.click("Choose acme/payments").await;
    browser.click("Only send keys of Jira projects that exist").await;
    browser.picture_for_documents(&folder, "page-preview", &names).await;
    browser.click("Link acme/payments").await;
    browser.click("Done").await;
    browser.reads("Sent: 3 of 3 projects").await;
    group.project("api").acting_as(&ada).push("PAY-8-limits", [commit("PAY-8 Limit").adds("b.rs", 1)]).await;
    world.settled().await.unwrap();
    browser.click("Audit the history of acme/payments").await;
    browser.reads("0 missing of").await;
    browser.reads("just now").await;
    browser.picture_for_documents(&folder, "page-overview", &names).await;
}
