//! Feature flags: their rows, and for whom they are on.

use super::*;
use crate::jira::model::{EnvironmentType, FeatureFlag as JiraFlag, Rollout};

fn sent(flag: &FeatureFlag) -> JiraFlag {
    content!(source().feature_flag(flag, KNOWN_AT), FeatureFlag)
}

fn strategy(name: &str, percentage: Option<f64>, scopes: &[&str]) -> FlagStrategy {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    FlagStrategy { name: name.to_owned(), percentage, scopes }
}

/// M8, but for the address: GitLab's API does not tell the number its page is found by.
#[test]
fn a_strategy_with_three_scopes_has_three_rows() {
    let sent = sent(&feature_flag());
    assert_eq!(sent.summary.url, format!("{PROJECT_URL}/-/feature_flags"));
    assert!(sent.summary.status.enabled);
    assert_eq!(sent.summary.status.default_value, "");
    let rollout = Rollout { percentage: Some(50.0), text: Some("Percent of users".to_owned()) };
    assert_eq!(sent.summary.status.rollout, Some(rollout.clone()));
    let environments: Vec<_> = sent
        .details
        .iter()
        .map(|detail| (detail.environment.name.as_str(), detail.environment.environment_type))
        .collect();
    assert_eq!(
        environments,
        [
            ("production in live", Some(EnvironmentType::Production)),
            ("staging", Some(EnvironmentType::Staging)),
            ("*", None),
        ]
    );
    assert!(sent.details.iter().all(|detail| detail.status.rollout == Some(rollout.clone())));
}

/// Jira demands at least one row.
#[test]
fn a_flag_without_strategies_has_one_row() {
    let sent = sent(&FeatureFlag { strategies: Vec::new(), active: false, ..feature_flag() });
    assert_eq!(sent.details.len(), 1);
    let row = &sent.details[0];
    assert_eq!((row.environment.name.as_str(), row.status.enabled), ("*", false));
    assert_eq!((&row.status.rollout, &sent.summary.status.rollout), (&None, &None));
}

#[test]
fn several_strategies_are_named_together_and_apart() {
    let strategies = vec![
        strategy("userWithId", None, &["staging"]),
        strategy("flexibleRollout", Some(25.0), &["production"]),
        strategy("made_up", None, &["*"]),
    ];
    let sent = sent(&FeatureFlag { strategies, ..feature_flag() });
    let together = sent.summary.status.rollout.expect("known");
    assert_eq!(together.text.as_deref(), Some("User IDs, Percent rollout, made_up"));
    assert_eq!(together.percentage, Some(25.0));
    let apart: Vec<_> = sent
        .details
        .into_iter()
        .filter_map(|detail| detail.status.rollout)
        .map(|rollout| (rollout.percentage, rollout.text))
        .collect();
    assert_eq!(
        apart,
        [
            (None, Some("User IDs".to_owned())),
            (Some(25.0), Some("Percent rollout".to_owned())),
            (None, Some("made_up".to_owned())),
        ]
    );
}

#[test]
fn an_environments_kind_is_the_first_one_its_name_mentions() {
    for (scope, kind) in [
        ("production", Some(EnvironmentType::Production)),
        ("production-testing", Some(EnvironmentType::Production)),
        ("testing/production", Some(EnvironmentType::Testing)),
        ("my-staging-1", Some(EnvironmentType::Staging)),
        ("development", Some(EnvironmentType::Development)),
        ("review/*", None),
    ] {
        let flag = FeatureFlag { strategies: vec![strategy("default", None, &[scope])], ..feature_flag() };
        assert_eq!(sent(&flag).details[0].environment.environment_type, kind, "{scope}");
    }
}

/// M7: it belongs to no issue; whoever sends leaves it out.
#[test]
fn a_flag_without_keys_has_none() {
    let entity =
        source().feature_flag(&FeatureFlag { keys: IssueKeys::default(), ..feature_flag() }, KNOWN_AT);
    assert!(entity.associations.is_empty());
}

#[test]
fn a_flag_of_many_scopes_stays_within_reason() {
    let scopes = vec!["*"; 500];
    let flag = FeatureFlag { strategies: vec![strategy("default", None, &scopes)], ..feature_flag() };
    assert_eq!(sent(&flag).details.len(), 100);
}
