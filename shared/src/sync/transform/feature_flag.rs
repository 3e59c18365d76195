//! Feature flags.

use super::{Source, date};
use crate::clock::Timestamp;
use crate::domain::EntityKind;
use crate::gitlab::model::{FeatureFlag, FlagStrategy};
use crate::jira::model::{
    EnvironmentType, FeatureFlag as JiraFlag, FlagDetail, FlagEnvironment, FlagStatus, FlagSummary, Rollout,
};
use crate::sync::entity::{Content, Entity, EntityVersion};
use crate::text::{clean, clean_or};

/// More rows than anybody reads; GitLab's own limit on scopes is lower.
const MAX_DETAILS: usize = 100;

/// Jira's limit on an id. GitLab's names have 63 characters at most.
const MAX_ID: usize = 255;

/// GitLab's name for "every environment".
const EVERY_ENVIRONMENT: &str = "*";

impl Source {
    /// A feature flag. Its id at Jira is made of its name, since GitLab's API returns no id: a flag that is read is the
    /// one that its hook told of. Nor does it tell the number its page is found by, so links go to the list of flags.
    #[must_use]
    pub fn feature_flag(&self, flag: &FeatureFlag, known_at: Timestamp) -> Entity {
        let (url, last_updated) = (self.page("/-/feature_flags"), date(flag.updated_at, known_at));
        let id = clean(&self.id(format_args!("{}-{}", self.project.id, flag.name)), MAX_ID);
        let name = clean_or(&flag.name, 255, &id);
        let content = JiraFlag {
            schema_version: "1.0".to_owned(),
            id: id.clone(),
            key: name.clone(),
            display_name: name,
            update_sequence_id: known_at.0,
            issue_keys: flag.keys.as_slice().to_vec(),
            summary: FlagSummary {
                url: url.clone(),
                last_updated: last_updated.clone(),
                status: status(flag.active, &flag.strategies.iter().collect::<Vec<_>>()),
            },
            details: details(flag, &url, &last_updated),
        };
        let version = EntityVersion { known_at, changed_at: flag.updated_at, rank: 0, from_hook: false };
        let label = format!("{} flag {}", self.project.path, flag.name);
        let key = self.key(EntityKind::FeatureFlag, id);
        self.entity(key, label, flag.keys.clone(), version, Content::FeatureFlag(Box::new(content)))
    }
}

/// A row per strategy and environment; one for a flag that has none, since Jira demands a row.
fn details(flag: &FeatureFlag, url: &str, last_updated: &str) -> Vec<FlagDetail> {
    let row = |scope: &str, strategies: &[&FlagStrategy]| FlagDetail {
        url: url.to_owned(),
        last_updated: last_updated.to_owned(),
        environment: FlagEnvironment {
            name: clean_or(scope, 255, EVERY_ENVIRONMENT),
            environment_type: environment_type(scope),
        },
        status: status(flag.active, strategies),
    };
    let rows: Vec<_> = flag
        .strategies
        .iter()
        .flat_map(|strategy| strategy.scopes.iter().map(move |scope| row(scope, &[strategy])))
        .take(MAX_DETAILS)
        .collect();
    if rows.is_empty() { vec![row(EVERY_ENVIRONMENT, &[])] } else { rows }
}

fn status(enabled: bool, strategies: &[&FlagStrategy]) -> FlagStatus {
    let labels: Vec<_> = strategies.iter().map(|strategy| label(&strategy.name)).collect();
    let rollout = Rollout {
        percentage: strategies.iter().find_map(|strategy| strategy.percentage),
        text: Some(clean(&labels.join(", "), 255)).filter(|text| !text.is_empty()),
    };
    let known = rollout.percentage.is_some() || rollout.text.is_some();
    FlagStatus { enabled, default_value: String::new(), rollout: known.then_some(rollout) }
}

/// What GitLab's own pages call a strategy.
fn label(strategy: &str) -> &str {
    match strategy {
        "default" => "All users",
        "gitlabUserList" => "User List",
        "gradualRolloutUserId" => "Percent of users",
        "flexibleRollout" => "Percent rollout",
        "userWithId" => "User IDs",
        other => other,
    }
}

/// The kind that the environment's name mentions first.
fn environment_type(scope: &str) -> Option<EnvironmentType> {
    let kinds = [
        ("development", EnvironmentType::Development),
        ("testing", EnvironmentType::Testing),
        ("staging", EnvironmentType::Staging),
        ("production", EnvironmentType::Production),
    ];
    kinds
        .into_iter()
        .filter_map(|(name, kind)| Some((scope.find(name)?, kind)))
        .min_by_key(|(position, _)| *position)
        .map(|(_, kind)| kind)
}
