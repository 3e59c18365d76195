//! The handle of one Jira site: what a test or the demo declares, asks and breaks. Installing apps is in `lifecycle`,
//! signing for them in `tenant`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::api::Api;
use super::calls::{Calls, RecordedCall};
use super::faults::FailureRule;
use super::known::User;
use super::routes;
use super::server;
use super::state::{Site, World};
use super::triggers::Trigger;
use super::view::{self, IssueSummary, IssueView};

/// A Jira site. Clones are the same site, which lives as long as any handle or its stand-in.
#[derive(Clone, Debug)]
pub struct SiteHandle {
    pub(super) world: Arc<World>,
    pub(super) site: Arc<Site>,
}

impl SiteHandle {
    /// Opens a listener whose URL becomes the site's base URL.
    pub(super) async fn open_origin(&self) -> anyhow::Result<()> {
        let bound = server::bind().await?;
        let origin: Arc<str> = bound.url.as_str().into();
        self.site.state().base_url = bound.url.clone();
        let (world, site) = (Arc::downgrade(&self.world), Arc::downgrade(&self.site));
        self.world.keep(bound.serve(move |request| {
            let (world, site, origin) = (world.upgrade(), site.upgrade(), origin.clone());
            async move {
                match (world, site) {
                    (Some(world), Some(site)) => routes::on_site(world, site, origin, request).await,
                    _ => server::Reply::Drop,
                }
            }
        }));
        Ok(())
    }

    /// The site's base URL, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.site.state().base_url.clone()
    }

    /// The site's cloudId.
    #[must_use]
    pub fn cloud_id(&self) -> &str {
        &self.site.cloud_id
    }

    /// The tenant's client key.
    #[must_use]
    pub fn client_key(&self) -> String {
        self.site.state().client_key.clone()
    }

    /// The key and the shared secret of the app installed last.
    ///
    /// # Errors
    /// When no app is installed.
    pub fn app_credentials(&self) -> anyhow::Result<(String, String)> {
        let state = self.site.state();
        let app = state.current_app()?;
        Ok((app.key.clone(), app.shared_secret.clone()))
    }

    /// Where people see the site, if it has a domain of its own.
    pub fn set_display_url(&self, url: &str) {
        self.site.state().display_url = Some(url.to_owned());
    }

    /// Declares issues. Issues that are not declared are unknown.
    pub fn add_issues<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) {
        let mut state = self.site.state();
        for key in keys {
            state.known.add_issue(key.as_ref());
        }
    }

    /// Declares all issues of a project with these numbers.
    pub fn add_issue_range(&self, project: &str, numbers: RangeInclusive<u64>) {
        self.site.state().known.add_range(project, numbers);
    }

    /// Declares a project, without issues.
    pub fn add_project(&self, key: &str) {
        self.site.state().known.add_project(key);
    }

    /// Declares a service of Jira Service Management, for associations of deployments.
    pub fn add_service(&self, id: &str) {
        self.site.state().known.add_service(id);
    }

    /// Removes an issue that was declared by its key. What is attached to it stays stored.
    pub fn remove_issue(&self, key: &str) {
        self.site.state().known.remove_issue(key);
    }

    /// Adds or replaces a user.
    pub fn add_user(&self, user: User) {
        self.site.state().users.insert(user.account_id.clone(), user);
    }

    /// Says which account installs and removes apps from now on: `sub` and `user_key` of lifecycle callbacks.
    pub fn act_as(&self, account_id: &str) {
        self.site.state().acting_user = Some(account_id.to_owned());
    }

    /// Creates OAuth credentials with these permissions: client id and client secret.
    #[must_use]
    pub fn add_oauth_credentials(&self, permissions: &[Api]) -> (String, String) {
        self.world.credentials().add_client(self.cloud_id(), permissions)
    }

    /// Deletes OAuth credentials. Their data stays, and their tokens end.
    pub fn remove_oauth_credentials(&self, client_id: &str) {
        self.world.credentials().remove_client(client_id);
    }

    /// A Forge system token of an app, good for `/ex/jira/{cloudId}`.
    #[must_use]
    pub fn forge_system_token(&self, app: &str, scopes: &[Api], valid: Duration) -> String {
        self.world.credentials().add_system_token(app, self.cloud_id(), scopes, valid)
    }

    /// Ends all bearer tokens of the site.
    pub fn expire_tokens(&self) {
        self.world.credentials().expire_tokens(self.cloud_id());
    }

    /// Ends the system tokens of a Forge app on the site.
    pub(super) fn expire_forge_tokens(&self, app: &str) {
        self.world.credentials().expire_system_tokens(app, self.cloud_id());
    }

    /// Answers 400 to pull requests with the undocumented status DRAFT.
    pub fn refuse_draft(&self, refuse: bool) {
        self.site.state().dialect.refuses_draft = refuse;
    }

    /// Answers 400 to reviewers with the undocumented approval status NEEDSWORK.
    pub fn refuse_needswork(&self, refuse: bool) {
        self.site.state().dialect.refuses_needswork = refuse;
    }

    /// Adds a failure rule.
    pub fn fail(&self, rule: FailureRule) {
        self.site.state().faults.add(rule);
    }

    /// Removes all failure rules.
    pub fn clear_failures(&self) {
        self.site.state().faults.clear();
    }

    /// Answers 503 to everything until resumed.
    pub fn suspend(&self) {
        self.site.state().suspended = true;
    }

    /// Ends a suspension.
    pub fn resume(&self) {
        self.site.state().suspended = false;
    }

    /// Gives the site a new name and a new base URL. Everything under the old one is answered 302 from now on. The
    /// app learns of it by [`SiteHandle::redeliver_installed`].
    ///
    /// # Errors
    /// When no port is free.
    pub async fn rename_to(&self, name: &str) -> anyhow::Result<()> {
        self.open_origin().await?;
        let mut sites = self.world.sites();
        sites.retain(|_, site| !Arc::ptr_eq(site, &self.site));
        sites.insert(name.to_owned(), self.site.clone());
        Ok(())
    }

    /// What the development panel of an issue shows.
    #[must_use]
    pub fn issue(&self, key: &str) -> IssueView {
        view::issue(&self.site.state(), key)
    }

    /// The issues that were declared one by one or have something attached.
    #[must_use]
    pub fn issues(&self) -> Vec<IssueSummary> {
        view::summaries(&self.site.state())
    }

    /// The workflow triggers that fired, in order.
    #[must_use]
    pub fn triggers(&self) -> Vec<Trigger> {
        self.site.state().triggers.clone()
    }

    /// Counts of calls.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.site.state().calls.clone()
    }

    /// The calls of provider APIs whose body was read, oldest first. The oldest are forgotten when they get too large.
    #[must_use]
    pub fn recorded(&self) -> Vec<RecordedCall> {
        self.site.state().recorded.all()
    }

    /// Clears counts, recorded calls and triggers.
    pub fn forget_calls(&self) {
        let mut state = self.site.state();
        state.calls = Calls::default();
        state.recorded.clear();
        state.triggers.clear();
    }
}
