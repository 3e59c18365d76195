//! What the page inside Jira asks for: the state of a site, signing in to GitLab, choosing and linking groups. One API for
//! every host of the page; which HTTP request brings a call, and how its caller is authenticated, belongs to the functions
//! and the program. What the page looks like is in `page/` beside the crates.

mod assets;
mod error;
mod groups;
mod history;
mod instances;
mod links;
mod overview;
mod preview;
mod session;
mod sign_in;
mod words;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

pub use assets::{Asset, asset, callback_page, choice, page, version};
pub use error::{Cause, PageError};
pub use sign_in::{Callback, Returned};

use crate::clock::SharedClock;
use crate::domain::{Installation, InstallationId, SignInId, Site, SubscriptionId};
use crate::linking::Linking;
use crate::store::Store;
use history::HistoryAction;
use links::LinkChoice;

/// What the page's API works with.
#[derive(Clone, Debug)]
pub struct PageApi {
    /// Links, and with them state, secrets, GitLab and Jira.
    pub linking: Linking,
    /// The id of the OAuth application of [`Linking::gitlab_url`], if one is configured.
    pub application_id: Option<String>,
    /// Where GitLab sends people back to after signing in.
    pub redirect_uri: String,
}

/// Where the page runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In Jira's frame for a Connect app.
    Connect,
    /// In Jira's frame for a Forge app.
    Forge,
    /// In a browser of whoever runs the bundle, at this origin.
    Local(String),
}

/// A person who may change what is linked to a site. There is one only where that was proved.
#[derive(Clone, Debug)]
pub struct Administrator {
    site: Site,
    /// The Atlassian account, or [`OPERATOR`].
    account: String,
    here: Option<InstallationId>,
    host: Host,
}

/// In place of an Atlassian account: whoever runs the bundle.
const OPERATOR: &str = "operator";

impl Administrator {
    /// Whoever runs the bundle, at the local page, which has proved it by a secret from the bundle itself.
    #[must_use]
    pub fn operator(site: Site, origin: String) -> Self {
        Self { site, account: OPERATOR.to_owned(), here: None, host: Host::Local(origin) }
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// A request of the page.
#[derive(Debug, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The site, its connections and its linked groups.
    Overview {},
    /// Begins to sign in to a GitLab instance.
    SignIn {
        /// Base URL of the instance.
        gitlab: String,
    },
    /// Proves that the person who signed in is the one at this page.
    ConfirmSignIn {
        /// The sign-in.
        sign_in: SignInId,
        /// The code that was shown after signing in.
        code: String,
    },
    /// Signs in with a token.
    UseToken {
        /// Base URL of the instance.
        gitlab: String,
        /// The token.
        token: secrecy::SecretString,
    },
    /// Forgets the token of a sign-in, and revokes it where it was made for it.
    SignOut {
        /// The sign-in.
        sign_in: SignInId,
    },
    /// A page of the groups that may be linked.
    Groups {
        /// The sign-in.
        sign_in: SignInId,
        /// What their names contain; all if empty.
        #[serde(default)]
        search: String,
        /// From 1.
        page: u32,
    },
    /// What linking a group would mean.
    Preview {
        /// The sign-in.
        sign_in: SignInId,
        /// GitLab's id of the group.
        group: u64,
    },
    /// Links a group.
    Link(LinkChoice),
    /// Unlinks a group and deletes what came through it.
    Unlink {
        /// The link.
        link: SubscriptionId,
        /// Whether what was sent stays in Jira.
        #[serde(default)]
        keep_jira_data: bool,
        /// A sign-in of an Owner, who may remove what the link's own token may not.
        #[serde(default)]
        sign_in: Option<SignInId>,
    },
    /// Changes which Jira projects a link sends to.
    SetProjectKeys {
        /// The link.
        link: SubscriptionId,
        /// Their keys; any if empty.
        project_keys: Vec<String>,
    },
    /// Sends a link's history again, pauses or ends it.
    History {
        /// The link.
        link: SubscriptionId,
        /// What to do.
        action: HistoryAction,
    },
    /// Asks Jira again about project keys that it did not know.
    RecheckProjects {},
    /// Checks a GitLab instance and its OAuth application, and keeps both if they work.
    SaveGitlab {
        /// Base URL of the instance.
        gitlab: String,
        /// The id of an OAuth application there.
        application_id: String,
    },
    /// Forgets the OAuth application of an instance.
    ForgetGitlab {
        /// Base URL of the instance.
        gitlab: String,
    },
}

impl PageApi {
    /// The person with this account of an installed site, if Jira says that the account administers it.
    ///
    /// # Errors
    /// [`Cause::NotAdministrator`], or Jira can't be asked.
    pub async fn administrator(
        &self,
        site: Site,
        installation: &Installation,
        account_id: Option<&str>,
        host: Host,
    ) -> Result<Administrator, PageError> {
        let not_administrator = || {
            PageError::new(
                Cause::NotAdministrator,
                "Only administrators of this Jira site may link groups: ask one, or ask for the global permission Administer Jira.",
            )
        };
        let account = account_id.filter(|account| !account.is_empty()).ok_or_else(not_administrator)?;
        let connection = self.linking.connections.open(&site, installation).await;
        let jira = connection.map_err(|error| words::of_connection(&error, &site))?;
        let administers = jira.is_administrator(account).await;
        match administers.map_err(|error| words::of_jira(&error, &site))? {
            Some(true) => {
                Ok(Administrator { site, account: account.to_owned(), here: Some(installation.id), host })
            }
            Some(false) | None => Err(not_administrator()),
        }
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// [`PageError`]; nothing was changed unless its sentence says so.
    pub async fn answer(&self, who: &Administrator, request: Request) -> Result<Value, PageError> {
        match request {
            Request::Overview {} => to_json(&self.overview(who).await?),
            Request::SignIn { gitlab } => to_json(&self.begin_sign_in(who, &gitlab).await?),
            Request::ConfirmSignIn { sign_in, code } => {
                to_json(&self.confirm_sign_in(who, sign_in, &code).await?)
            }
            Request::UseToken { gitlab, token } => to_json(&self.use_token(who, &gitlab, token).await?),
            Request::SignOut { sign_in } => {
                self.sign_out(who, sign_in).await?;
                Ok(Value::Object(serde_json::Map::new()))
            }
            Request::Groups { sign_in, search, page } => {
                let session = self.session(who, sign_in).await?;
                to_json(&self.groups(who, &session, &search, page).await?)
            }
            Request::Preview { sign_in, group } => {
                let session = self.session(who, sign_in).await?;
                to_json(&self.preview(who, &session, group).await?)
            }
            Request::Link(choice) => to_json(&self.link(who, choice).await?),
            Request::Unlink { link, keep_jira_data, sign_in } => {
                to_json(&self.unlink(who, link, keep_jira_data, sign_in).await?)
            }
            Request::SetProjectKeys { link, project_keys } => {
                self.set_project_keys(who, link, &project_keys).await?;
                to_json(&self.overview(who).await?)
            }
            Request::History { link, action } => {
                self.history(who, link, action).await?;
                to_json(&self.overview(who).await?)
            }
            Request::RecheckProjects {} => {
                self.store().update_site(who.site.id, |site| site.suppressed_projects.clear()).await?;
                to_json(&self.overview(&self.again(who).await?).await?)
            }
            Request::SaveGitlab { gitlab, application_id } => {
                self.save_gitlab(who, &gitlab, &application_id).await?;
                to_json(&self.overview(&self.again(who).await?).await?)
            }
            Request::ForgetGitlab { gitlab } => {
                self.forget_gitlab(who, &gitlab).await?;
                to_json(&self.overview(&self.again(who).await?).await?)
            }
        }
    }

    /// The same person with the site as it is stored now.
    async fn again(&self, who: &Administrator) -> Result<Administrator, PageError> {
        let site = self.store().site(who.site.id).await?;
        Ok(Administrator { site: site.unwrap_or_else(|| who.site.clone()), ..who.clone() })
    }

    fn store(&self) -> &Store {
        &self.linking.store
    }

    fn clock(&self) -> &SharedClock {
        &self.linking.clock
    }
}

/// Reads a request from its body; an empty one, or one of an empty object as Forge sends it, asks for the overview.
///
/// # Errors
/// [`Cause::InvalidRequest`].
pub fn request(body: &[u8]) -> Result<Request, PageError> {
    if matches!(body.trim_ascii(), b"" | b"{}") {
        return Ok(Request::Overview {});
    }
    serde_json::from_slice(body).map_err(|error| {
        // The error may quote the body, and with it a token.
        let place = format!("line {} column {}", error.line(), error.column());
        PageError::new(
            Cause::InvalidRequest,
            "This is not a request of the page: reload it to get the current version.",
        )
        .because(place)
    })
}

fn to_json<T: serde::Serialize>(answer: &T) -> Result<Value, PageError> {
    serde_json::to_value(answer)
        .map_err(|error| PageError::new(Cause::Unavailable, "The answer can't be written.").because(error))
}

/// A base URL as it is stored: no trailing slash.
fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
