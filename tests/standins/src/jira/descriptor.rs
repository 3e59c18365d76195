//! Reading an app's descriptor as Jira does before it installs the app.
//!
//! Follows <https://developer.atlassian.com/cloud/jira/platform/connect-app-descriptor/>.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;
use url::{Host, Url};

use super::random;
use super::state::Installation;

/// Longest app key.
const MAX_KEY: usize = 64;

/// Longest module key.
const MAX_MODULE_KEY: usize = 100;

const SCOPES: &[&str] = &["READ", "WRITE", "DELETE", "PROJECT_ADMIN", "ADMIN", "ACT_AS_USER"];

/// The installation that a descriptor asks for, with a new shared secret.
pub(super) fn installation(descriptor: Value) -> anyhow::Result<Installation> {
    let text = |place: &str| descriptor.pointer(place).and_then(Value::as_str);
    let key = text("/key").context("key is required")?;
    ensure!((1..=MAX_KEY).contains(&key.chars().count()), "key must have 1 to {MAX_KEY} characters");
    let base_url = text("/baseUrl").context("baseUrl is required")?;
    ensure!(is_reachable(base_url), "baseUrl must start with https://");
    let kind = text("/authentication/type").context("authentication.type is required")?;
    ensure!(kind.eq_ignore_ascii_case("jwt"), "authentication.type must be jwt");
    ensure!(
        text("/lifecycle/installed").is_some(),
        "lifecycle.installed is required with authentication by JWT"
    );
    for migration in ["signed-install", "context-qsh"] {
        let enabled = descriptor["apiMigrations"][migration].as_bool();
        ensure!(enabled == Some(true), "apiMigrations.{migration} must be true");
    }
    check_modules(&descriptor["modules"])?;
    Ok(Installation {
        key: key.to_owned(),
        base_url: base_url.trim_end_matches('/').to_owned(),
        reached_at: base_url.trim_end_matches('/').to_owned(),
        shared_secret: random::secret(),
        scopes: scopes(&descriptor["scopes"])?,
        descriptor,
    })
}

/// The real service takes https only; apps under test run on this machine without a certificate.
fn is_reachable(base_url: &str) -> bool {
    let Ok(url) = Url::parse(base_url) else {
        return false;
    };
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && local
}

fn scopes(value: &Value) -> anyhow::Result<BTreeSet<String>> {
    let scopes = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let known = |scope: &Value| {
        let scope = scope.as_str().filter(|scope| SCOPES.contains(scope));
        scope.map(ToOwned::to_owned).with_context(|| format!("scopes must be of {}", SCOPES.join(", ")))
    };
    scopes.iter().map(known).collect()
}

fn check_modules(modules: &Value) -> anyhow::Result<()> {
    let modules = modules.as_object().context("modules must be an object")?;
    for (kind, module) in modules {
        // Some kinds hold one module, others a list of them.
        let listed = module.as_array().map_or_else(|| std::slice::from_ref(module), Vec::as_slice);
        for module in listed {
            let key = module["key"].as_str().with_context(|| format!("modules.{kind}: key is required"))?;
            let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            ensure!(
                plain && (1..=MAX_MODULE_KEY).contains(&key.len()),
                "modules.{kind}: {key} is no module key"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor() -> Value {
        json!({
            "key": "app", "baseUrl": "https://app.example/base/", "authentication": { "type": "JWT" },
            "lifecycle": { "installed": "/events/installed" }, "scopes": ["READ", "WRITE"],
            "apiMigrations": { "signed-install": true, "context-qsh": true },
            "modules": { "jiraDevelopmentTool": { "key": "dev-tool" }, "generalPages": [{ "key": "page" }] },
        })
    }

    #[test]
    fn a_good_descriptor_is_read() {
        let installation = installation(descriptor()).unwrap();
        assert_eq!(installation.base_url, "https://app.example/base");
        assert_eq!(installation.scopes.len(), 2);
    }

    #[test]
    fn a_bad_descriptor_is_refused() {
        let long = "k".repeat(65);
        for (place, value, problem) in [
            ("/key", json!(long), "key must have"),
            ("/key", Value::Null, "key is required"),
            ("/baseUrl", json!("http://app.example"), "https"),
            ("/baseUrl", json!("app.example"), "https"),
            ("/authentication/type", json!("none"), "must be jwt"),
            ("/lifecycle/installed", Value::Null, "lifecycle.installed"),
            ("/scopes", json!(["EVERYTHING"]), "scopes must be of"),
            ("/apiMigrations/signed-install", json!(false), "signed-install"),
            ("/apiMigrations/context-qsh", Value::Null, "context-qsh"),
            ("/modules", Value::Null, "modules must be"),
            ("/modules/jiraDevelopmentTool/key", json!("dev_tool"), "no module key"),
            ("/modules/generalPages/0/key", Value::Null, "key is required"),
        ] {
            let mut descriptor = descriptor();
            *descriptor.pointer_mut(place).unwrap() = value;
            let error = installation(descriptor).unwrap_err().to_string();
            assert!(error.contains(problem), "{place}: {error}");
        }
    }

    #[test]
    fn apps_on_this_machine_need_no_tls() {
        assert!(
            is_reachable("http://127.0.0.1:8080/x")
                && is_reachable("http://[::1]/")
                && is_reachable("http://localhost")
        );
        assert!(!is_reachable("http://10.0.0.1/"));
    }
}
