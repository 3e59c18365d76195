//! What the history of a group costs the program: its peak memory, and what its data directory holds in the end,
//! in groups of 10, 100 and 1,000 projects. The program is a process of its own, and GitLab's stand-in sets no limits.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use standins::gitlab::{GitlabStandin, Role, Tier, Version};
use standins::jira::{Api, JiraStandin};

use super::pace::work;
use super::program::Program;
use super::row;

/// More than any group here needs, so that it does not wait.
const UNLIMITED: &str = "1000000";

const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn run() {
    for projects in [10, 100, 1_000] {
        let measured = measure(projects).await;
        row(
            &format!(
                "the program's memory while it sends the history of {projects:>5} projects, at the most"
            ),
            &format!("{:.0} MiB, {:.0} MiB before", measured.most / MIB, measured.before / MIB),
        );
        row(
            &format!("its state after that, on disk, for {projects:>5} projects"),
            &format!("{:.1} MiB", measured.state / MIB),
        );
    }
}

struct Measured {
    before: f64,
    most: f64,
    state: f64,
}

async fn measure(projects: usize) -> Measured {
    let jira = JiraStandin::start().await.unwrap();
    let site = jira.site("acme").await.unwrap();
    site.add_issue_range("PAY", 1..=100);
    let gitlab = GitlabStandin::start(Version::V19_1).await.unwrap();
    let ada = gitlab.user("ada").with_public_email();
    let group = gitlab.group("acme", Tier::Premium);
    group.grant(&ada, Role::Owner);
    for number in 0..projects {
        work(&group.project(&format!("p{number}")).acting_as(&ada), number).await;
    }
    let limits = ["HISTORY_REQUESTS_PER_MINUTE", "HISTORY_REQUESTS_PER_HOUR"].map(|name| (name, UNLIMITED));
    let mut program = Program::new(&jira, &gitlab);
    program.settings.extend(limits);
    let child = program.serve().await;
    let process = child.id().unwrap();
    let apis = [Api::DevInfo, Api::Builds, Api::Deployments, Api::FeatureFlags];
    let (id, secret) = site.add_oauth_credentials(&apis);
    let url = site.base_url();
    program.run(&["site", "add", "--site", &url, "--client-id", &id, "--client-secret-stdin"], &secret).await;
    let before = memory(process);
    let host = url.trim_start_matches("http://");
    let link = ["group", "link", "--site", host, "--group", "acme", "--gitlab-token-stdin"];
    program.run(&link, ada.token(&["api"]).expose_secret()).await;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Not `history show`, which lists every project.
        let status = program.run(&["status"], "").await;
        let progress = &status["history"][0]["progress"];
        if progress["state"] != "running" {
            assert_eq!((&progress["state"], &progress["ended"]), (&"done".into(), &projects.into()));
            break;
        }
    }
    Measured { before, most: memory(process), state: size(program.data.path()) }
}

/// The peak memory of a process, in bytes: `VmHWM` of `proc(5)`.
fn memory(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024.0
}

fn size(directory: &Path) -> f64 {
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len() as f64).sum()
}
