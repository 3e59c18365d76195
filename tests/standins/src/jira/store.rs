//! What a provider has stored on a site, and the ordering and deletion rules. Whether a body may be stored is
//! decided in `provider`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::Api;

/// Entities that `GET /repository/{id}` returns at most, newest first.
const NEWEST: usize = 400;

/// The kinds of entity in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Commit,
    Branch,
    PullRequest,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Commit, Self::Branch, Self::PullRequest];

    /// The kind's list in a repository.
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Commit => "commits",
            Self::Branch => "branches",
            Self::PullRequest => "pullRequests",
        }
    }

    /// The kind's name in a path.
    pub(super) fn in_path(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Branch => "branch",
            Self::PullRequest => "pull_request",
        }
    }
}

/// Properties of the call that stored something.
pub(super) type Properties = BTreeMap<String, String>;

/// A stored entity.
#[derive(Debug)]
pub(super) struct Stored {
    pub sequence: i64,
    /// The known issues it is attached to.
    pub keys: Vec<String>,
    pub properties: Properties,
    /// As it was submitted.
    pub body: Value,
}

/// A stored repository.
#[derive(Debug)]
pub(super) struct Repository {
    pub sequence: i64,
    pub properties: Properties,
    /// As it was submitted, without its entities.
    pub body: Value,
    pub entities: BTreeMap<(Kind, String), Stored>,
}

/// Identifies a build, deployment or flag: its path parameters in order.
pub(super) type Key = Vec<String>;

/// All data of one provider.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub repositories: BTreeMap<String, Repository>,
    pub others: BTreeMap<(Api, Key), Stored>,
}

impl Store {
    /// Stores a repository's own fields. A lower number than the stored one is ignored.
    pub(super) fn put_repository(&mut self, id: &str, sequence: i64, properties: &Properties, body: Value) {
        let repository = self.repositories.entry(id.to_owned()).or_insert_with(|| Repository {
            sequence: i64::MIN,
            properties: Properties::new(),
            body: Value::Null,
            entities: BTreeMap::new(),
        });
        if sequence >= repository.sequence {
            repository.sequence = sequence;
            repository.properties = properties.clone();
            repository.body = body;
        }
    }

    /// Stores an entity of a stored repository. A lower number than the stored one is ignored.
    pub(super) fn put_entity(&mut self, repository: &str, kind: Kind, id: &str, entity: Stored) {
        let Some(repository) = self.repositories.get_mut(repository) else {
            return;
        };
        let key = (kind, id.to_owned());
        if repository.entities.get(&key).is_none_or(|stored| entity.sequence >= stored.sequence) {
            repository.entities.insert(key, entity);
        }
    }

    /// Stores a build, deployment or flag. A lower or equal number is ignored.
    pub(super) fn put(&mut self, api: Api, key: Key, entity: Stored) {
        let key = (api, key);
        if self.others.get(&key).is_none_or(|stored| entity.sequence > stored.sequence) {
            self.others.insert(key, entity);
        }
    }

    pub(super) fn entity(&self, repository: &str, kind: Kind, id: &str) -> Option<&Stored> {
        self.repositories.get(repository)?.entities.get(&(kind, id.to_owned()))
    }

    /// Whether a commit, or (without a hash) a repository, is stored.
    pub(super) fn has_code(&self, repository: &str, hash: Option<&str>) -> bool {
        match hash {
            Some(hash) => self.entity(repository, Kind::Commit, hash).is_some(),
            None => self.repositories.contains_key(repository),
        }
    }

    /// The answer of `GET /repository/{id}`: its fields and its newest entities. Properties are never returned.
    pub(super) fn repository_answer(&self, id: &str) -> Option<Value> {
        let repository = self.repositories.get(id)?;
        let mut newest: Vec<_> = repository.entities.iter().collect();
        newest.sort_by_key(|(_, stored)| std::cmp::Reverse(stored.sequence));
        newest.truncate(NEWEST);
        let mut answer = repository.body.clone();
        for kind in Kind::ALL {
            let of_kind = newest.iter().filter(|((found, _), _)| *found == kind);
            answer[kind.list()] = of_kind.map(|(_, stored)| stored.body.clone()).collect();
        }
        Some(answer)
    }

    /// Deletes what was stored in a repository with a number up to `limit`, then the repository if nothing is left.
    pub(super) fn delete_repository(&mut self, id: &str, limit: i64) {
        let Some(repository) = self.repositories.get_mut(id) else {
            return;
        };
        repository.entities.retain(|_, stored| stored.sequence > limit);
        if repository.entities.is_empty() && repository.sequence <= limit {
            self.repositories.remove(id);
        }
    }

    pub(super) fn delete_entity(&mut self, repository: &str, kind: Kind, id: &str, limit: i64) {
        if let Some(repository) = self.repositories.get_mut(repository) {
            let key = (kind, id.to_owned());
            if repository.entities.get(&key).is_some_and(|stored| stored.sequence <= limit) {
                repository.entities.remove(&key);
            }
        }
    }

    /// Deletes what has all these properties: repositories with everything in them, and single entities.
    pub(super) fn delete_by_properties(&mut self, api: Api, wanted: &Properties) {
        if api == Api::DevInfo {
            self.repositories.retain(|_, repository| !matches(&repository.properties, wanted));
            for repository in self.repositories.values_mut() {
                repository.entities.retain(|_, stored| !matches(&stored.properties, wanted));
            }
        } else {
            self.others.retain(|(own, _), stored| *own != api || !matches(&stored.properties, wanted));
        }
    }

    /// Whether dev info with all these properties and a number up to `limit` is stored.
    pub(super) fn has_properties(&self, wanted: &Properties, limit: i64) -> bool {
        self.repositories.values().any(|repository| {
            let whole = repository.sequence <= limit && matches(&repository.properties, wanted);
            let part = |stored: &Stored| stored.sequence <= limit && matches(&stored.properties, wanted);
            whole || repository.entities.values().any(part)
        })
    }

    /// The issues of a deployment through its commits: Jira adds those that it knows of each linked commit.
    pub(super) fn keys_of_commits(&self, deployment: &Value) -> Vec<String> {
        let associations = deployment["associations"].as_array().into_iter().flatten();
        let commits = associations
            .filter(|association| association["associationType"] == json!("commit"))
            .flat_map(|association| association["values"].as_array().into_iter().flatten());
        let keys = commits.filter_map(|commit| {
            self.entity(commit["repositoryId"].as_str()?, Kind::Commit, commit["commitHash"].as_str()?)
        });
        keys.flat_map(|commit| commit.keys.iter().cloned()).collect()
    }
}

fn matches(properties: &Properties, wanted: &Properties) -> bool {
    wanted.iter().all(|(key, value)| properties.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(sequence: i64, name: &str, properties: &[(&str, &str)]) -> Stored {
        Stored {
            sequence,
            keys: vec!["PAY-1".to_owned()],
            properties: owned(properties),
            body: json!({ "id": name }),
        }
    }

    fn owned(properties: &[(&str, &str)]) -> Properties {
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn store() -> Store {
        let mut store = Store::default();
        store.put_repository(
            "1",
            10,
            &owned(&[("link", "a"), ("generation", "1")]),
            json!({ "name": "ten" }),
        );
        store.put_entity("1", Kind::Branch, "main", stored(10, "ten", &[("link", "a")]));
        store.put_entity("1", Kind::Commit, "c", stored(20, "twenty", &[("link", "b")]));
        store
    }

    #[test]
    fn dev_info_ignores_lower_numbers_and_takes_equal_ones() {
        let mut store = store();
        for (sequence, expected) in [(9, "ten"), (10, "new"), (11, "newer")] {
            let name = if sequence == 10 { "new" } else { "newer" };
            store.put_entity("1", Kind::Branch, "main", stored(sequence, name, &[]));
            store.put_repository("1", sequence, &Properties::new(), json!({ "name": name }));
            assert_eq!(store.entity("1", Kind::Branch, "main").unwrap().body["id"], expected);
            assert_eq!(store.repositories["1"].body["name"], expected);
        }
    }

    #[test]
    fn the_other_apis_ignore_equal_numbers_too() {
        let mut store = Store::default();
        let key = || vec!["p".to_owned(), "1".to_owned()];
        for (sequence, name) in [(10, "first"), (10, "equal"), (9, "lower")] {
            store.put(Api::Builds, key(), stored(sequence, name, &[]));
            assert_eq!(store.others[&(Api::Builds, key())].body["id"], "first");
        }
        store.put(Api::Builds, key(), stored(11, "higher", &[]));
        assert_eq!(store.others[&(Api::Builds, key())].body["id"], "higher");
    }

    #[test]
    fn deletes_honour_the_number() {
        let mut store = store();
        store.delete_entity("1", Kind::Branch, "main", 9);
        assert!(store.entity("1", Kind::Branch, "main").is_some());
        store.delete_entity("1", Kind::Branch, "main", 10);
        assert!(store.entity("1", Kind::Branch, "main").is_none());
        store.delete_repository("1", 15);
        assert!(store.has_code("1", Some("c")));
        store.delete_repository("1", i64::MAX);
        assert!(!store.has_code("1", None));
    }

    #[test]
    fn deletes_by_properties_need_all_of_them() {
        let mut store = store();
        store.delete_by_properties(Api::DevInfo, &owned(&[("link", "a"), ("generation", "2")]));
        assert!(store.has_properties(&owned(&[("link", "a")]), i64::MAX));
        store.delete_by_properties(Api::DevInfo, &owned(&[("link", "b")]));
        assert!(!store.has_code("1", Some("c")));
        store.delete_by_properties(Api::DevInfo, &owned(&[("link", "a"), ("generation", "1")]));
        assert!(!store.has_code("1", None));
        assert!(!store.has_properties(&owned(&[("link", "a")]), i64::MAX));
    }

    #[test]
    fn deleting_builds_leaves_flags_alone() {
        let mut store = Store::default();
        store.put(Api::Builds, vec!["1".to_owned()], stored(1, "build", &[("link", "a")]));
        store.put(Api::FeatureFlags, vec!["1".to_owned()], stored(1, "flag", &[("link", "a")]));
        store.delete_by_properties(Api::Builds, &owned(&[("link", "a")]));
        assert_eq!(store.others.keys().map(|(api, _)| *api).collect::<Vec<_>>(), [Api::FeatureFlags]);
    }

    #[test]
    fn a_repository_answers_with_its_newest_entities() {
        let mut store = store();
        for number in 0..450 {
            store.put_entity("1", Kind::Commit, &format!("c{number}"), stored(100 + number, "c", &[]));
        }
        let answer = store.repository_answer("1").unwrap();
        assert_eq!(answer["commits"].as_array().unwrap().len(), 400);
        assert_eq!(answer["branches"], json!([]));
        assert!(store.repository_answer("2").is_none());
    }
}
