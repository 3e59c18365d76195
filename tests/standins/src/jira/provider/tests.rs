use super::*;

fn operation(api: Api, path: &str) -> Result<Operation, u16> {
    let path: Vec<String> = path.split('/').map(ToOwned::to_owned).collect();
    Operation::of(api, &path).map_err(|status| status.as_u16())
}

#[test]
fn paths_lead_to_operations() {
    let key = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Key>();
    for (api, path, expected) in [
        (Api::DevInfo, "bulk", Ok(Operation::Bulk)),
        (Api::DevInfo, "repository/7", Ok(Operation::Repository("7".to_owned()))),
        (
            Api::DevInfo,
            "repository/7/pull_request/1",
            Ok(Operation::Entity("7".to_owned(), Kind::PullRequest, "1".to_owned())),
        ),
        (Api::DevInfo, "repository/7/tag/1", Err(400)),
        (Api::DevInfo, "existsByProperties", Ok(Operation::ExistsByProperties)),
        (Api::Builds, "existsByProperties", Err(404)),
        (Api::Builds, "bulkByProperties", Ok(Operation::ByProperties)),
        (Api::Builds, "pipelines/p/builds/1", Ok(Operation::One(key(&["p", "1"])))),
        (
            Api::Deployments,
            "pipelines/p/environments/e/deployments/1",
            Ok(Operation::One(key(&["p", "e", "1"]))),
        ),
        (
            Api::Deployments,
            "pipelines/p/environments/e/deployments/1/gating-status",
            Ok(Operation::GatingStatus(key(&["p", "e", "1"]))),
        ),
        (Api::FeatureFlags, "flag/1", Ok(Operation::One(key(&["1"])))),
        (Api::FeatureFlags, "flags/1", Err(404)),
    ] {
        assert_eq!(operation(api, path), expected, "{path}");
    }
}

#[test]
fn queries_are_checked() {
    let parse = |query: &str, operation| Query::parse(Some(query), &operation);
    let query =
        parse("link=a+b&generation=1&jwt=x.y.z&_updateSequenceId=7", Operation::ByProperties).ok().unwrap();
    assert_eq!(query.properties.len(), 2);
    assert_eq!((query.properties["link"].as_str(), query.limit), ("a b", 7));
    for (query, problem) in [
        ("", "at least one property"),
        ("_updateSequenceId=1", "at least one property"),
        ("jwt=x.y.z", "at least one property"),
        ("a=1&a=2", "must not occur twice"),
        ("a=1&_updateSequenceId=x", "must be a number"),
    ] {
        let found = parse(query, Operation::ByProperties).err().unwrap();
        assert!(found.contains(problem), "{found}");
    }
    assert!(Query::parse(None, &Operation::Repository("1".to_owned())).is_ok());
}
