//! `site recheck`: has Jira asked again about the project keys that it did not have.

use serde::{Deserialize, Serialize};
use shared::domain::{Site, SiteId};

use crate::operate::text::clean;
use crate::operate::{Operator, Refusal};

/// What `site recheck` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteRechecked {
    /// Our id of the site.
    pub site: SiteId,
    /// Its host name.
    pub host: String,
    /// The project keys that are sent again.
    pub projects: Vec<String>,
}

impl Operator {
    pub(in crate::operate) async fn site_recheck(&self, site: &str) -> Result<SiteRechecked, Refusal> {
        let site = self.find_site(site).await?;
        let projects = site.suppressed_projects(self.clock.now());
        let clear = |site: &mut Site| site.suppressed_projects.clear();
        self.store.update_site(site.id, clear).await?;
        Ok(SiteRechecked { site: site.id, host: site.host().to_owned(), projects })
    }
}

impl SiteRechecked {
    pub(in crate::operate) fn lines(&self) -> Vec<String> {
        let host = clean(&self.host);
        if self.projects.is_empty() {
            return vec![format!("{host} has every project key that it was asked about within a day.")];
        }
        let projects = clean(self.projects.join(", "));
        vec![format!("Keys of {projects} are sent to {host} again with their next event.")]
    }
}
