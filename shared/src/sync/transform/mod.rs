//! GitLab's things as Jira's entities, one file per kind. Pure functions only: nothing here reads, sends or decides whether
//! an entity is sent.

mod build;
mod commit;
mod deployment;
mod feature_flag;
mod merge_request;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use build::issue_keys;
pub(super) use commit::short;

use aws_lc_rs::digest;

use super::entity::{Content, Entity, EntityVersion, Link};
use crate::clock::Timestamp;
use crate::domain::{Associations, EntityKey, EntityKind, Site, Subscription};
use crate::gitlab::model::{Person, Project};
use crate::jira::model::{Author, Repository};
use crate::text::{clean, clean_or, optional_url, url_or};

/// Where an entity comes from: a project of a link, and how its instance's ids look at Jira.
#[derive(Clone, Debug)]
pub struct Source {
    /// The project.
    pub project: Arc<Project>,
    /// The link.
    pub link: Link,
    /// The project as Jira's repository, without entities.
    pub repository: Arc<Repository>,
    prefix: String,
    instance: Arc<str>,
}

impl Source {
    /// The source for a `project` of `link`. `instance` is the GitLab instance's base URL, and `instance_index` its position
    /// among those of the site: the first one's ids stay plain, so that a site which moves here from GitLab's own app keeps
    /// its entities; the others' get a prefix, since ids are unique only within an instance.
    #[must_use]
    pub fn new(project: Project, link: Link, instance: &str, instance_index: usize) -> Self {
        let repository = repository(&project, instance, instance_index);
        Self {
            project: Arc::new(project),
            link,
            repository: Arc::new(repository),
            prefix: id_prefix(instance, instance_index),
            instance: Arc::from(instance),
        }
    }

    /// The source for a `project` of a link of `site`.
    #[must_use]
    pub fn of_link(site: &Site, link: &Subscription, project: Project) -> Self {
        let index = site.instance_index(&link.instance).unwrap_or(site.instances.len());
        let product = Arc::from(format!("GitLab {}", link.instance_version));
        Self::new(project, Link { subscription: link.id, product }, &link.instance, index)
    }

    /// An id of this instance as Jira knows it.
    fn id(&self, id: impl std::fmt::Display) -> String {
        format!("{}{id}", self.prefix)
    }

    /// The identity of one of this project's entities.
    #[must_use]
    pub fn key(&self, kind: EntityKind, id: String) -> EntityKey {
        EntityKey { kind, project: self.repository.id.clone(), id }
    }

    /// The identity of a branch: Jira knows it by the SHA-256 of its name.
    #[must_use]
    pub fn branch_key(&self, name: &str) -> EntityKey {
        self.key(EntityKind::Branch, branch_id(name))
    }

    fn entity(
        &self,
        key: EntityKey,
        label: String,
        associations: impl Into<Associations>,
        version: EntityVersion,
        content: Content,
    ) -> Entity {
        Entity {
            key,
            label,
            associations: associations.into(),
            version,
            link: self.link.clone(),
            repository: Arc::clone(&self.repository),
            content,
        }
    }

    /// An entity that is gone, or that belongs to no issue any more.
    #[must_use]
    pub fn deleted(
        &self,
        key: EntityKey,
        label: String,
        associations: impl Into<Associations>,
        known_at: Timestamp,
    ) -> Entity {
        let version = EntityVersion { known_at, changed_at: None, rank: 0, from_hook: false };
        self.entity(key, label, associations, version, Content::Deleted)
    }

    fn page(&self, path: &str) -> String {
        url_or(&format!("{}{path}", self.project.web_url), &self.repository.url)
    }

    /// A ref's list of commits: a branch's page.
    fn commits_page(&self, git_ref: &str) -> String {
        self.page(&format!("/-/commits/{}", encode_path(git_ref)))
    }

    fn author(&self, person: &Person) -> Author {
        let profile = || person.username.as_ref().map(|username| format!("{}/{username}", self.instance));
        Author {
            name: clean_or(&person.name, 255, person.username.as_deref().unwrap_or("Unknown")),
            email: person.email.as_deref().filter(|email| email.len() <= 254).map(|email| clean(email, 254)),
            username: person.username.as_deref().map(|username| clean(username, 255)),
            url: optional_url(person.web_url.clone().or_else(profile).as_deref()),
            avatar: optional_url(absolute(person.avatar_url.as_deref(), &self.instance).as_deref()),
        }
    }
}

/// A project as Jira's repository, without entities. `instance` and `instance_index` as for [`Source::new`].
#[must_use]
pub fn repository(project: &Project, instance: &str, instance_index: usize) -> Repository {
    Repository {
        id: repository_id(project.id, instance, instance_index),
        name: clean_or(&project.name, 255, &project.path),
        description: project.description.as_deref().map(|text| clean(text, 1024)),
        url: url_or(&project.web_url, instance),
        avatar: optional_url(absolute(project.avatar_url.as_deref(), instance).as_deref()),
        ..Repository::default()
    }
}

/// The id at Jira of a linked group as a workspace. `instance` and `instance_index` as for [`Source::new`].
#[must_use]
pub fn workspace_id(group: u64, instance: &str, instance_index: usize) -> String {
    format!("{}{group}", id_prefix(instance, instance_index))
}

/// The id at Jira of a project as a repository. `instance` and `instance_index` as for [`Source::new`].
#[must_use]
pub fn repository_id(project: u64, instance: &str, instance_index: usize) -> String {
    format!("{}{project}", id_prefix(instance, instance_index))
}

fn id_prefix(instance: &str, instance_index: usize) -> String {
    if instance_index == 0 { String::new() } else { format!("{}-", &sha256_hex(instance)[..8]) }
}

/// Lower-case hex SHA-256 of a branch's name, as GitLab's own app identifies branches.
#[must_use]
pub fn branch_id(name: &str) -> String {
    sha256_hex(name)
}

fn sha256_hex(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// GitLab gives avatars of its own as a path.
fn absolute(url: Option<&str>, instance: &str) -> Option<String> {
    url.map(|url| if url.starts_with('/') { format!("{instance}{url}") } else { url.to_owned() })
}

/// Encodes what must not stand in a path; slashes stay, as in GitLab's own links.
fn encode_path(path: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const ENCODED: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(path, ENCODED).to_string()
}

/// Encodes a value of a query.
fn encode_value(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn date(moment: Option<Timestamp>, known_at: Timestamp) -> String {
    moment.unwrap_or(known_at).iso8601()
}
