//! Which sites and links need attention: a site in a condition that holds its work, a link that is not whole, lost its token or
//! missed deliveries; with cause and remedy in sentences. They name no command: a front end that has one adds it. Where they
//! are shown, logged or counted belongs to whoever does so.

use crate::domain::{LinkAttention, Site, SiteCondition, Subscription, SubscriptionState};
use crate::store::missed::Missed;
use crate::text::count;

/// Why a link needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTrouble {
    /// Linking or unlinking did not end.
    Pending,
    /// What was noted on the link.
    Attention(LinkAttention),
    /// Deliveries that could not be queued. GitLab never repeats one by itself, but keeps each for some days and repeats it
    /// on demand (<https://docs.gitlab.com/user/project/integrations/webhooks/>).
    Missed(Missed),
}

/// The site's condition, if it holds work.
#[must_use]
pub fn site_trouble(site: &Site) -> Option<SiteCondition> {
    Some(site.state.condition).filter(|condition| *condition != SiteCondition::Active)
}

/// Everything that is wrong with a link that missed these deliveries; empty when it is healthy.
#[must_use]
pub fn link_troubles(link: &Subscription, missed: Option<Missed>) -> Vec<LinkTrouble> {
    let of_state = match link.state {
        SubscriptionState::Active => link.attention.clone().map(LinkTrouble::Attention),
        SubscriptionState::Pending => Some(LinkTrouble::Pending),
    };
    of_state.into_iter().chain(missed.map(LinkTrouble::Missed)).collect()
}

/// What is wrong with a site and how it is put right; `None` for [`SiteCondition::Active`].
#[must_use]
pub fn site_remedy(condition: SiteCondition) -> Option<&'static str> {
    Some(match condition {
        SiteCondition::Active => return None,
        SiteCondition::CredentialRejected => {
            "Jira rejects the credential: create new OAuth credentials and add them, or reinstall the app. A Forge app that is still installed gets a new token within the hour."
        }
        SiteCondition::PermissionMissing => {
            "Jira refuses this kind of data: give the OAuth credentials all five permissions, reinstall the Connect app with its present descriptor, or approve the Forge app's new version."
        }
        SiteCondition::Renamed => {
            "The Jira site was renamed: add its OAuth credentials with the new host name, or wait for Jira's `installed` event."
        }
        SiteCondition::Suspended => {
            "The Jira site does not answer: ask its administrator whether it is deactivated."
        }
        SiteCondition::Uninstalled => {
            "The app that wrote to the site was uninstalled: install it again, add OAuth credentials, or switch to another connection."
        }
        SiteCondition::AwaitingToken => {
            "Forge delivers a token every hour and has not: ask the site's administrator whether the app is still installed, and look at its logs with `forge logs`. Work goes on with the next token."
        }
        SiteCondition::Switching => "Switching the site's connection did not end: switch it again.",
    })
}

/// What is wrong with a link and how it is put right.
#[must_use]
pub fn link_remedy(trouble: &LinkTrouble) -> String {
    match trouble {
        LinkTrouble::Pending => {
            "Linking or unlinking did not end: unlink the group, and link it again if it is wanted."
                .to_owned()
        }
        LinkTrouble::Attention(attention) => attention_remedy(attention),
        LinkTrouble::Missed(missed) => format!(
            "{} could not be queued since {}: resend them from Recent events on the hook's page in GitLab.",
            count(missed.deliveries, "delivery", "deliveries"),
            missed.since.iso8601()
        ),
    }
}

/// All remedies of a link in one text; `None` when it is healthy.
#[must_use]
pub fn link_remedies(troubles: &[LinkTrouble]) -> Option<String> {
    let sentences: Vec<String> = troubles.iter().map(link_remedy).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn attention_remedy(attention: &LinkAttention) -> String {
    match attention {
        LinkAttention::TokenRefused => {
            "GitLab refuses the stored token: link the group again with a new one.".to_owned()
        }
        LinkAttention::TokenInsufficient => {
            "The stored token may not read everything: give it read_api and the Developer role.".to_owned()
        }
        LinkAttention::SlashesRefused => {
            "A proxy in front of GitLab answers 404 where GitLab would not, to every path with an encoded slash (%2F): let it \
             pass them on as they are (nocanon or AllowEncodedSlashes NoDecode in Apache, no path in nginx's proxy_pass)."
                .to_owned()
        }
        LinkAttention::ProjectsWithoutHook { count: projects, paths } => {
            let more = projects.saturating_sub(paths.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(
                "{} without a hook ({}{more}): give the token's owner the Maintainer role there, then unlink the group and link it again.",
                count(*projects as u64, "project", "projects"),
                paths.join(", ")
            )
        }
        LinkAttention::Text(text) => text.clone(),
    }
}
