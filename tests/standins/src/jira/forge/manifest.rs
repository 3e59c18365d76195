//! A Forge manifest as far as it says what calls its remotes get, with the rules that `forge lint` and `forge deploy`
//! check of those parts (<https://developer.atlassian.com/platform/forge/manifest-reference/>).

use anyhow::{Context as _, ensure};
use saphyr::{LoadableYamlNode as _, ScalarOwned, YamlOwned};
use serde_json::Value;

use super::api_of_scope;
use crate::jira::api::Api;

/// The longest key of a remote or an endpoint.
const MAX_KEY: usize = 23;

/// Scheduled triggers of an app at most.
const MAX_SCHEDULES: usize = 5;

const TOKEN_SCOPE: &str = "read:app-system-token";

/// What is deployed.
#[derive(Clone, Debug)]
pub(super) struct Manifest(Value);

/// Where a module's calls go.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// The module's key.
    pub module: String,
    pub url: String,
    pub with_system_token: bool,
    /// What a system token is good for.
    pub apis: Vec<Api>,
}

impl Manifest {
    /// Reads and checks it.
    pub(super) fn read(text: &str, app_id: &str) -> anyhow::Result<Self> {
        let mut documents = YamlOwned::load_from_str(text).context("the manifest is not YAML")?;
        let manifest = Self(to_json(&documents.pop().context("the manifest is empty")?));
        let document = &manifest.0;
        let id = document["app"]["id"].as_str();
        ensure!(id == Some(app_id), "app.id is not the id of this app");
        for remote in list(&document["remotes"]) {
            let (key, url) = (text_of(&remote["key"])?, text_of(&remote["baseUrl"])?);
            ensure!(key.len() <= MAX_KEY, "the key of the remote {key} is longer than {MAX_KEY}");
            let is_secure = url.starts_with("https://") || url.starts_with("http://127.0.0.1:");
            ensure!(is_secure, "the remote {key} is not at an https URL");
        }
        let modules = &document["modules"];
        let has_token_scope =
            list(&document["permissions"]["scopes"]).any(|scope| scope.as_str() == Some(TOKEN_SCOPE));
        for endpoint in list(&modules["endpoint"]) {
            let key = text_of(&endpoint["key"])?;
            ensure!(key.len() <= MAX_KEY, "the key of the endpoint {key} is longer than {MAX_KEY}");
            let remote = text_of(&endpoint["remote"])?;
            remote_url(document, remote)?;
            let wants_token = endpoint["auth"]["appSystemToken"]["enabled"].as_bool() == Some(true);
            ensure!(has_token_scope || !wants_token, "the endpoint {key} needs the scope {TOKEN_SCOPE}");
        }
        let schedules = list(&modules["scheduledTrigger"]).count();
        ensure!(schedules <= MAX_SCHEDULES, "there are more than {MAX_SCHEDULES} scheduled triggers");
        for kind in ["trigger", "scheduledTrigger", "preUninstall"] {
            for module in list(&modules[kind]) {
                let endpoint = text_of(&module["endpoint"])?;
                manifest.endpoint(endpoint, module, None)?.with_context(|| {
                    format!("the endpoint {endpoint} of a {kind} is not there or has no route")
                })?;
            }
        }
        Ok(manifest)
    }

    pub(super) fn of_event(&self, event: &str) -> Option<Endpoint> {
        self.of_module("trigger", |module| list(&module["events"]).any(|known| known.as_str() == Some(event)))
    }

    pub(super) fn of_schedule(&self) -> Option<Endpoint> {
        self.of_module("scheduledTrigger", |module| module["interval"].as_str() == Some("hour"))
    }

    pub(super) fn of_uninstall(&self) -> Option<Endpoint> {
        self.of_module("preUninstall", |_| true)
    }

    /// A page names the path of each call by itself.
    pub(super) fn of_page(&self, path: &str) -> Option<Endpoint> {
        let page = list(&self.0["modules"]["jira:adminPage"]).next()?;
        self.endpoint(page["resolver"]["endpoint"].as_str()?, page, Some(path)).ok()?
    }

    fn of_module(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Option<Endpoint> {
        let module = list(&self.0["modules"][kind]).find(|module| wanted(module))?;
        self.endpoint(module["endpoint"].as_str()?, module, None).ok()?
    }

    /// `None`: there is no such endpoint, or it has no route and the caller names none.
    fn endpoint(&self, key: &str, module: &Value, path: Option<&str>) -> anyhow::Result<Option<Endpoint>> {
        let endpoint = list(&self.0["modules"]["endpoint"]).find(|known| known["key"].as_str() == Some(key));
        let Some(endpoint) = endpoint else { return Ok(None) };
        let Some(path) = path.or_else(|| endpoint["route"]["path"].as_str()) else { return Ok(None) };
        let base = remote_url(&self.0, text_of(&endpoint["remote"])?)?;
        let scopes = list(&self.0["permissions"]["scopes"]).filter_map(Value::as_str);
        Ok(Some(Endpoint {
            module: text_of(&module["key"])?.to_owned(),
            url: format!("{}{path}", base.trim_end_matches('/')),
            with_system_token: endpoint["auth"]["appSystemToken"]["enabled"].as_bool() == Some(true),
            apis: scopes.filter_map(api_of_scope).collect(),
        }))
    }
}

fn remote_url(document: &Value, key: &str) -> anyhow::Result<String> {
    let mut remotes = list(&document["remotes"]);
    let remote = remotes.find(|remote| remote["key"].as_str() == Some(key));
    let remote = remote.with_context(|| format!("there is no remote {key}"))?;
    Ok(text_of(&remote["baseUrl"])?.to_owned())
}

fn list(node: &Value) -> impl Iterator<Item = &Value> {
    node.as_array().into_iter().flatten()
}

fn text_of(node: &Value) -> anyhow::Result<&str> {
    node.as_str().context("a text is missing")
}

fn to_json(node: &YamlOwned) -> Value {
    match node {
        YamlOwned::Sequence(entries) => entries.iter().map(to_json).collect(),
        YamlOwned::Mapping(pairs) => {
            let pairs =
                pairs.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), to_json(value))));
            Value::Object(pairs.collect())
        }
        YamlOwned::Tagged(_, node) => to_json(node),
        YamlOwned::Value(ScalarOwned::Boolean(value)) => Value::Bool(*value),
        YamlOwned::Value(ScalarOwned::Integer(number)) => Value::from(*number),
        YamlOwned::Value(ScalarOwned::FloatingPoint(number)) => Value::from(number.into_inner()),
        YamlOwned::Value(ScalarOwned::String(text)) | YamlOwned::Representation(text, ..) => {
            Value::from(text.clone())
        }
        YamlOwned::Value(ScalarOwned::Null) | YamlOwned::Alias(_) | YamlOwned::BadValue => Value::Null,
    }
}
