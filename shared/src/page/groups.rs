//! The groups that the signed-in person may link.

use serde::Serialize;

use super::session::Session;
use super::{Administrator, PageApi, PageError, words};
use crate::domain::{Subscription, SubscriptionId, lies_under};
use crate::gitlab::client::ListedGroup;
use crate::linking::GitlabPurpose;

/// GitLab finds nothing for fewer characters (<https://docs.gitlab.com/api/groups/#list-all-groups>).
const SHORTEST_SEARCH: usize = 3;

/// A search is a name; GitLab's longest has this many characters.
const LONGEST_SEARCH: usize = 255;

/// A page of groups.
#[derive(Debug, Serialize)]
pub(super) struct Groups {
    groups: Vec<GroupRow>,
    next: Option<u32>,
    total: Option<u64>,
}

/// A group.
#[derive(Debug, Serialize)]
struct GroupRow {
    id: u64,
    path: String,
    name: String,
    /// GitLab's id of the group that it is in.
    parent: Option<u64>,
    /// Its link to this site, if it has one.
    link: Option<SubscriptionId>,
    /// The path of a linked group above it, whose link covers it already.
    covered_by: Option<String>,
}

impl PageApi {
    pub(super) async fn groups(
        &self,
        who: &Administrator,
        session: &Session,
        search: &str,
        page: u32,
    ) -> Result<Groups, PageError> {
        let search: String = search.trim().chars().take(LONGEST_SEARCH).collect();
        let search = if search.chars().count() < SHORTEST_SEARCH { "" } else { search.as_str() };
        let listed = session
            .gitlab
            .linkable_groups(search, page.max(1))
            .await
            .map_err(|error| words::of_gitlab(&error, &session.instance, GitlabPurpose::ReadGroup))?;
        let links = self.links_at(who, &session.instance).await?;
        let (next, total) = (listed.next, listed.total);
        let groups = listed.items.into_iter().map(|group| row(group, &links)).collect();
        Ok(Groups { groups, next, total })
    }

    /// The site's links to groups of one GitLab instance.
    pub(super) async fn links_at(
        &self,
        who: &Administrator,
        instance: &str,
    ) -> Result<Vec<Subscription>, PageError> {
        let mut links = self.store().subscriptions(who.site.id).await?;
        links.retain(|link| link.instance == instance);
        Ok(links)
    }
}

fn row(group: ListedGroup, links: &[Subscription]) -> GroupRow {
    let link = links.iter().find(|link| link.group_id == group.id).map(|link| link.id);
    let above =
        links.iter().find(|link| link.group_id != group.id && lies_under(&group.full_path, &link.group_path));
    GroupRow {
        id: group.id,
        covered_by: above.map(|link| link.group_path.clone()),
        name: if group.full_name.is_empty() { group.full_path.clone() } else { group.full_name },
        path: group.full_path,
        parent: group.parent_id,
        link,
    }
}
