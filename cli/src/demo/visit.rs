//! What a person does in the app while the demo stays: links a second group, sees its history and a live event arrive, and unlinks
//! it. The person clicks; here is only what there is to click at, and what answers.

use std::convert::Infallible;
use std::time::Duration;

use shared::domain::SubscriptionState;
use standins::gitlab::{ProjectHandle, Role, Tier, commit, merge_request};

use super::timeline::{Teller, Timeline};
use super::world::World;
use crate::terminal::say;

/// The group that the story leaves to the person.
pub const GROUP: &str = "acme/mobile";

/// How often to check whether the group is linked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Makes the group, with a merge request that names PAY-16.
pub async fn prepare(world: &World) -> ProjectHandle {
    let ada = world.gitlab.user("ada").with_public_email();
    let group = world.gitlab.group(GROUP, Tier::Premium);
    group.grant(&ada, Role::Owner);
    let project = group.project("app").acting_as(&ada).described("Mobile app");
    project.push("main", [commit("Start").adds("README.md", 3)]).await;
    project.push("PAY-16-wallet", [commit("PAY-16 Pay from a wallet").adds("src/wallet.rs", 40)]).await;
    project.open_merge_request(merge_request("PAY-16-wallet", "PAY-16 Pay from a wallet")).await;
    project
}

/// Answers what the person does, and tells it, until the demo ends.
pub async fn answer(
    world: &World,
    timeline: &Timeline,
    project: &ProjectHandle,
) -> anyhow::Result<Infallible> {
    let mut teller = Teller::new(world, timeline);
    for number in 1_u32.. {
        until_linked(world, true).await?;
        let branch = format!("PAY-17-dark-mode-{number}");
        project.push(&branch, [commit("PAY-17 Have a dark mode").adds("src/theme.rs", 12)]).await;
        tell(&mut teller, &format!("You linked {GROUP}, and Ada pushes {branch}: it is on PAY-17")).await;
        until_linked(world, false).await?;
        tell(
            &mut teller,
            &format!(
                "You unlinked {GROUP}: unless you kept it, what it had sent is gone from PAY-16 and PAY-17"
            ),
        )
        .await;
    }
    anyhow::bail!("nobody links a group so often")
}

/// What can't be told is no reason to end what the person looks at.
async fn tell(teller: &mut Teller<'_>, what: &str) {
    if let Err(error) = teller.tell(what).await {
        say(format_args!("         -> {error:#}"));
    }
}

async fn until_linked(world: &World, wanted: bool) -> anyhow::Result<()> {
    loop {
        let store = &world.local.operator.store;
        let mut linked = false;
        for site in store.site_ids().await? {
            let links = store.subscriptions(site).await?;
            linked |=
                links.iter().any(|link| link.group_path == GROUP && link.state == SubscriptionState::Active);
        }
        if linked == wanted {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
