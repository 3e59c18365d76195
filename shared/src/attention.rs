//! What needs somebody: sites that hold work and links that are not whole, each with the remedy in a sentence or two. Where
//! that is shown, logged or counted belongs to whoever does so.

use crate::domain::{LinkAttention, Site, Subscription, SubscriptionState};
use crate::store::missed::Missed;

/// What to do about a site; `None` when work flows to it.
#[must_use]
pub fn of_site(site: &Site) -> Option<&'static str> {
    site.state.condition.remedy()
}

/// What to do about a link that missed these deliveries; `None` when it is whole.
#[must_use]
pub fn of_link(link: &Subscription, missed: Option<Missed>) -> Option<String> {
    let of_state = match link.state {
        SubscriptionState::Active => link.attention.as_ref().map(of_attention),
        SubscriptionState::Pending => Some(format!(
            "Linking or unlinking did not end: run `gitlab-jira group unlink {}`, and link the group again if it is wanted.",
            link.id
        )),
    };
    let sentences: Vec<String> = of_state.into_iter().chain(missed.map(what_to_send_again)).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// What to do about a link's condition.
#[must_use]
pub fn of_attention(attention: &LinkAttention) -> String {
    match attention {
        LinkAttention::TokenRefused => {
            "GitLab refuses the stored token: link the group again with a new one.".to_owned()
        }
        LinkAttention::TokenInsufficient => {
            "The stored token may not read everything: give it read_api and the Developer role.".to_owned()
        }
        LinkAttention::ProjectsWithoutHook { count, paths } => {
            let more = if *count > paths.len() {
                format!(" and {} more", count - paths.len())
            } else {
                String::new()
            };
            format!(
                "{count} of its projects have no hook ({}{more}): give the token's owner the Maintainer role there, then unlink the group and link it again.",
                paths.join(", ")
            )
        }
        LinkAttention::Text(text) => text.clone(),
    }
}

/// GitLab never repeats a delivery by itself, but keeps each for some days and repeats it on demand
/// (<https://docs.gitlab.com/user/project/integrations/webhooks/>).
fn what_to_send_again(missed: Missed) -> String {
    let deliveries = match missed.deliveries {
        1 => "1 delivery".to_owned(),
        count => format!("{count} deliveries"),
    };
    format!(
        "{deliveries} could not be taken in since {}: send them again from Recent events on the hook's page in GitLab.",
        missed.since.iso8601()
    )
}
