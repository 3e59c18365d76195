//! The manifest of a bundle's Forge app: the template in `infra/forge`, filled in with where this bundle is reached. What
//! is the same for all bundles belongs to the template; registering and deploying the app, to the script beside it.

use shared::bundle::{FORGE_LIFECYCLE, FORGE_PAGE, FORGE_TOKEN, FORGE_UNINSTALL, LOGO, Route};
use shared::config::display_name;
use shared::outbound::is_loopback;
use url::Url;

/// The manifest, with `${NAME}` where a value belongs.
const TEMPLATE: &str = include_str!("../../infra/forge/manifest.yml");

/// What every app's id begins with; a UUID follows.
const APP_ID: &str = "ari:cloud:ecosystem::app/";

/// GitLab's own page for a new branch, of the GitLab of new links whatever a site has linked: Forge's links carry no
/// token, so a page of ours could not know who comes, nor from which site, and would tell its links to anybody.
/// GitLab's asks whoever comes to sign in.
const NEW_BRANCH: &str = "/-/jira_connect/branches/new?issue_key={issue.key}&issue_summary={issue.summary}";

/// What Jira's pages link to as documentation.
const DOCUMENTATION: &str = "https://docs.gitlab.com/integration/jira/";

/// The longest URL that a manifest takes
/// (<https://developer.atlassian.com/platform/forge/manifest-reference/modules/jira-software-development-info/>).
const MAX_URL: usize = 255;

/// The longest Connect key that a manifest takes.
const MAX_CONNECT_KEY: usize = 90;

/// Where a bundle is reached, and which GitLab it is about.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Where Forge reaches it.
    pub remotes: Remotes,
    /// Where GitLab and Jira reach it.
    pub base_url: String,
    /// The GitLab of new links.
    pub gitlab_url: Url,
}

/// What a bundle knows of the Forge app that it is for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The app whose calls it accepts; `None` while none is configured.
    pub app_id: Option<String>,
    /// Distinguishes this bundle from others, in letters, digits, dots and hyphens; empty for that of a data directory.
    pub bundle: String,
    /// Where Forge reaches it; `None` for a stack from before there were functions for Forge.
    pub remotes: Option<Remotes>,
}

/// Where Forge reaches each of its functions: scheme, host and optional prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remotes {
    /// `forge-lifecycle`.
    pub lifecycle: String,
    /// `forge-token`.
    pub token: String,
    /// `forge-page`.
    pub page: String,
}

impl Remotes {
    /// All functions at one address.
    #[must_use]
    pub fn all_at(url: &str) -> Self {
        Self { lifecycle: url.to_owned(), token: url.to_owned(), page: url.to_owned() }
    }
}

/// There is no manifest for this: why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not an app's id.
    #[error(
        "{0} is not the id of a Forge app: `forge register` prints it, ari:cloud:ecosystem::app/ and a UUID"
    )]
    AppId(String),
    /// Not a Connect app's key.
    #[error("{0} is not the key of a Connect app: its descriptor has it as \"key\"")]
    ConnectKey(String),
    /// Forge would not call it.
    #[error(
        "Forge calls https only, and {0} is not: set BASE_URL to the https URL of a reverse proxy (on AWS the parameter ForgeUrl)"
    )]
    NotHttps(String),
    /// Forge would refuse the manifest.
    #[error(
        "{0} is longer than the 255 characters that Forge takes: set GITLAB_URL or BASE_URL to a shorter name"
    )]
    TooLong(String),
}

/// The manifest of the app with this id, in YAML. `connect_key` is that of the Connect app whose place it takes.
///
/// # Errors
/// [`ManifestError`].
pub fn manifest(
    addresses: &Addresses,
    app_id: &str,
    connect_key: Option<&str>,
) -> Result<String, ManifestError> {
    if !is_app_id(app_id) {
        return Err(ManifestError::AppId(app_id.to_owned()));
    }
    if let Some(key) = connect_key.filter(|key| !is_connect_key(key)) {
        return Err(ManifestError::ConnectKey(key.to_owned()));
    }
    let Remotes { lifecycle, token, page } = &addresses.remotes;
    let (lifecycle, token, page) = (remote(lifecycle)?, remote(token)?, remote(page)?);
    let base_url = addresses.base_url.trim_end_matches('/');
    let gitlab_url = addresses.gitlab_url.as_str().trim_end_matches('/');
    let value = |name: &str| -> Result<Option<String>, ManifestError> {
        let value = match name {
            "APP_ID" => app_id.to_owned(),
            "CONNECT_KEY" => return Ok(connect_key.map(str::to_owned)),
            "NAME" => display_name(addresses.gitlab_url.host_str().unwrap_or_default()),
            "LIFECYCLE_URL" => origin(&lifecycle),
            "TOKEN_URL" => origin(&token),
            "PAGE_URL" => origin(&page),
            "GITLAB_URL" => short(gitlab_url.to_owned())?,
            // Jira's pages show no picture from anywhere else.
            "LOGO_URL" if !base_url.starts_with("https://") => return Ok(None),
            "LOGO_URL" => short(format!("{base_url}{}", LOGO.path))?,
            "DOCUMENTATION_URL" => DOCUMENTATION.to_owned(),
            "CREATE_BRANCH_URL" => short(format!("{gitlab_url}{NEW_BRANCH}"))?,
            "LIFECYCLE_PATH" => below(&lifecycle, FORGE_LIFECYCLE),
            "UNINSTALL_PATH" => below(&lifecycle, FORGE_UNINSTALL),
            "TOKEN_PATH" => below(&token, FORGE_TOKEN),
            other => unreachable!("the template names {other}, which has no value; a test renders all of it"),
        };
        Ok(Some(value))
    };
    let mut manifest = String::from("# Made by `gitlab-jira forge manifest`.\n");
    for line in TEMPLATE.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if let Some(line) = filled(line, value)? {
            manifest.push_str(&line);
            manifest.push('\n');
        }
    }
    Ok(manifest)
}

/// `line` with its value in place of `${NAME}`; `None` if it has none. A JSON string is a YAML string as well, whatever is
/// in it.
fn filled(
    line: &str,
    value: impl Fn(&str) -> Result<Option<String>, ManifestError>,
) -> Result<Option<String>, ManifestError> {
    let Some((before, rest)) = line.split_once("${") else { return Ok(Some(line.to_owned())) };
    let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
    let value = value(name)?.map(serde_json::Value::String);
    Ok(value.map(|value| format!("{before}{value}{after}")))
}

/// What the app's page in Jira calls: the manifest names the remote only.
///
/// # Errors
/// [`ManifestError::NotHttps`].
pub fn page_path(addresses: &Addresses) -> Result<String, ManifestError> {
    Ok(below(&remote(&addresses.remotes.page)?, FORGE_PAGE))
}

/// The address of a remote, if Forge calls it.
fn remote(url: &str) -> Result<Url, ManifestError> {
    let parsed = Url::parse(url).ok();
    // Forge cannot reach this machine, but a stand-in for it can.
    let is_local = |url: &Url| url.host().is_some_and(|host| is_loopback(&host));
    let callable = parsed.filter(|parsed| parsed.scheme() == "https" || is_local(parsed));
    callable.ok_or_else(|| ManifestError::NotHttps(url.to_owned()))
}

/// A remote without its path: Forge resolves paths against it as links are, and a link that begins with a slash leaves
/// nothing of a prefix (<https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/>).
fn origin(remote: &Url) -> String {
    remote.origin().ascii_serialization()
}

fn below(remote: &Url, route: Route) -> String {
    format!("{}{}", remote.path().trim_end_matches('/'), route.path)
}

fn short(url: String) -> Result<String, ManifestError> {
    if url.len() <= MAX_URL { Ok(url) } else { Err(ManifestError::TooLong(url)) }
}

/// Whether it has the form of an app's id.
#[must_use]
pub fn is_app_id(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix(APP_ID) else { return false };
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    let parts: Vec<&str> = uuid.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.into_iter().all(is_hex)
}

fn is_connect_key(key: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=MAX_CONNECT_KEY).contains(&key.len()) && key.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ari:cloud:ecosystem::app/0b2f8c1e-3d4a-4c5b-8e6f-7a8b9c0d1e2f";

    fn addresses(url: &str, gitlab_url: &str) -> Addresses {
        let gitlab_url = Url::parse(gitlab_url).unwrap();
        Addresses { remotes: Remotes::all_at(url), base_url: url.to_owned(), gitlab_url }
    }

    fn lines(manifest: &str, key: &str) -> Vec<String> {
        manifest.lines().filter(|line| line.contains(key)).map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn the_manifest_of_a_stack_names_each_function_by_its_own_url() {
        let remotes = Remotes {
            lifecycle: "https://aaa.lambda-url.eu-central-1.on.aws/".to_owned(),
            token: "https://bbb.lambda-url.eu-central-1.on.aws".to_owned(),
            page: "https://ccc.lambda-url.eu-central-1.on.aws".to_owned(),
        };
        let addresses =
            Addresses { remotes, ..addresses("https://jira.example.com", "https://gitlab.example.com/git/") };
        insta::assert_snapshot!(manifest(&addresses, ID, Some("gitlab-jira-connect-gitlab.com")).unwrap());
    }

    #[test]
    fn without_a_connect_key_or_an_https_url_their_lines_are_left_out() {
        let local = addresses("http://127.0.0.1:8080", "https://gitlab.com");
        let manifest = manifest(&local, ID, None).unwrap();
        assert_eq!(lines(&manifest, "connect:"), Vec::<String>::new());
        assert_eq!(lines(&manifest, "logoUrl"), Vec::<String>::new());
        assert_eq!(lines(&manifest, "baseUrl"), ["baseUrl: \"http://127.0.0.1:8080\""; 3]);
        assert_eq!(lines(&manifest, "value: \"GitLab\""), ["name: {value: \"GitLab\"}"]);
        assert!(!manifest.contains("${"), "{manifest}");
    }

    #[test]
    fn the_link_to_create_a_branch_leads_to_gitlab_and_carries_the_issue_only() {
        let manifest =
            manifest(&addresses("https://jira.example.com", "https://gitlab.com"), ID, None).unwrap();
        let url = "https://gitlab.com/-/jira_connect/branches/new?issue_key={issue.key}&issue_summary={issue.summary}";
        let expected = [format!("createBranch: {{urlTemplate: {url:?}}}")];
        assert_eq!(lines(&manifest, "createBranch"), expected);
    }

    #[test]
    fn a_prefix_stands_in_paths_and_not_in_remotes() {
        let behind_proxy = addresses("https://proxy.example.com/jira/", "https://gitlab.com");
        let manifest = manifest(&behind_proxy, ID, None).unwrap();
        assert_eq!(lines(&manifest, "baseUrl"), ["baseUrl: \"https://proxy.example.com\""; 3]);
        let paths = ["lifecycle", "uninstall", "token"];
        let paths = paths.map(|name| format!("route: {{path: \"/jira/forge/{name}\"}}"));
        assert_eq!(lines(&manifest, "route:"), paths);
        assert_eq!(page_path(&behind_proxy).unwrap(), "/jira/forge/page");
    }

    #[test]
    fn what_a_value_holds_stays_in_its_quotes() {
        let line =
            filled("key: ${A} # after", |_| Ok(Some("x\" }\n#: ${B} \\".to_owned()))).unwrap().unwrap();
        assert_eq!(line, r##"key: "x\" }\n#: ${B} \\" # after"##);
    }

    #[test]
    fn what_forge_would_refuse_is_refused_with_the_remedy() {
        let refused = |url: &str, gitlab_url: &str, id: &str, key: Option<&str>| {
            manifest(&addresses(url, gitlab_url), id, key).unwrap_err().to_string()
        };
        let good = "https://gitlab-jira.example.com";
        for url in
            ["http://gitlab-jira.example.com", "http://10.0.0.1", "http://localhost.example", "ftp://x"]
        {
            assert!(refused(url, "https://gitlab.com", ID, None).contains("Forge calls https only"), "{url}");
        }
        for id in
            ["", "ari:cloud:ecosystem::app/", "0b2f8c1e-3d4a-4c5b-8e6f-7a8b9c0d1e2f", &ID[..ID.len() - 1]]
        {
            assert!(refused(good, "https://gitlab.com", id, None).contains("`forge register`"), "{id}");
        }
        for key in ["", "a b", &"k".repeat(91)] {
            assert!(refused(good, "https://gitlab.com", ID, Some(key)).contains("descriptor"), "{key}");
        }
        let long = format!("https://{}.example.com", "g".repeat(200));
        assert!(refused(good, &long, ID, None).contains("GITLAB_URL"));
    }
}
