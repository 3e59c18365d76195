//! What most stories start from: an installed site, a linked group, and a person who works in it.

use std::sync::Arc;
use std::time::Duration;

use gitlab_jira::demo::world::World;
use gitlab_jira::operate::{Command, CredentialChoice};
use secrecy::SecretString;
use serde_json::Value;
use shared::clock::{SharedClock, SystemClock};
use shared::domain::ConnectionKind;
use standins::gitlab::{GitlabStandin, GroupHandle, ProjectHandle, Role, Tier, UserHandle, Version, commit};

/// A world in which Ada owns the linked group `acme` with the project `api`.
pub struct Stage {
    pub world: World,
    pub ada: UserHandle,
    pub group: GroupHandle,
    pub api: ProjectHandle,
    pub token: SecretString,
    pub link: Value,
}

impl Stage {
    pub async fn new() -> Self {
        Self::of(Version::V19_1, Arc::new(SystemClock)).await
    }

    /// Plays a story through each connection, one after another.
    pub async fn through_every_connection(story: impl AsyncFn(Self)) {
        for connection in [ConnectionKind::Forge, ConnectionKind::OauthCredentials, ConnectionKind::Connect] {
            println!("through the connection {}", connection.name());
            story(Self::through(connection).await).await;
        }
    }

    /// The same stage behind another connection.
    pub async fn through(connection: ConnectionKind) -> Self {
        let world = World::start(Version::V19_1, Arc::new(SystemClock)).await.unwrap();
        world.open_connection(connection).await.unwrap();
        Self::linked(world).await
    }

    pub async fn of(version: Version, clock: SharedClock) -> Self {
        let world = World::start(version, clock).await.unwrap();
        world.install().await.unwrap();
        Self::linked(world).await
    }

    /// Links the group through whatever connection is open.
    pub async fn linked(world: World) -> Self {
        world.site.add_issue_range("PAY", 1..=50);
        let ada = world.gitlab.user("ada").with_public_email();
        let group = world.gitlab.group("acme", Tier::Premium);
        group.grant(&ada, Role::Owner);
        let api = group.project("api").acting_as(&ada);
        api.push("main", [commit("Start").adds("README.md", 1)]).await;
        let token = ada.token(&["api"]);
        let link = world.link("acme", &token).await.unwrap();
        Self { world, ada, group, api, token, link }
    }

    pub async fn settled(&self) {
        self.world.settled().await.unwrap();
    }

    /// What an operator command answers.
    pub async fn command(&self, command: Command) -> Value {
        self.world.command(command).await.unwrap()
    }

    /// Whether `explain` says `word` of an issue or a delivery; what comes in is noted every few seconds.
    pub async fn explains(&self, key: &str, word: &str) -> bool {
        for _ in 0..80 {
            let command = Command::Explain { key: key.to_owned(), project: None };
            if self.command(command).await["deliveries"].to_string().contains(word) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// How many messages were dead-lettered.
    pub async fn dead(&self) -> u64 {
        let status = self.command(Command::Status).await;
        status["queues"]["events"]["dead"].as_u64().unwrap()
    }
}

/// Links a group of another instance, made there with one project.
pub async fn link_elsewhere(
    world: &World,
    gitlab: &GitlabStandin,
    group: &str,
    project: &str,
) -> GroupHandle {
    let bob = gitlab.user("bob");
    let made = gitlab.group(group, Tier::Premium);
    made.grant(&bob, Role::Owner);
    made.project(project);
    let command = world.link_command(group, &bob.token(&["api"]), CredentialChoice::Auto);
    let Command::GroupLink(mut link) = command else { panic!("{command:?}") };
    link.gitlab_url = Some(gitlab.url().to_owned());
    world.command(Command::GroupLink(link)).await.unwrap();
    made
}
