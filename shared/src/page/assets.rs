//! The page's files, and the two documents that load them. They are compiled in: one package per function, and a fresh
//! clone needs no other build.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};

use super::Callback;

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its path below the assets' URL.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub body: &'static str,
}

macro_rules! assets {
    ($($name:literal: $type:literal),+ $(,)?) => {
        &[$(Asset { name: $name, content_type: $type, body: include_str!(concat!("../../../page/", $name)) }),+]
    };
}

/// What a browser may ask for. `page/hosts/forge.js` is bundled into the Forge app instead.
const ASSETS: &[Asset] = assets![
    "api.js": "text/javascript",
    "application.js": "text/javascript",
    "callback.js": "text/javascript",
    "controls.css": "text/css",
    "dom.js": "text/javascript",
    "groups.js": "text/javascript",
    "history.js": "text/javascript",
    "hosts/browser.js": "text/javascript",
    "hosts/connect.js": "text/javascript",
    "hosts/local.js": "text/javascript",
    "issue-keys.js": "text/javascript",
    "link-card.js": "text/javascript",
    "linking.js": "text/javascript",
    "overview.js": "text/javascript",
    "page.css": "text/css",
    "preview.js": "text/javascript",
    "session.js": "text/javascript",
    "sign-in.js": "text/javascript",
    "unlink.js": "text/javascript",
    "view.js": "text/javascript",
    "waiting.js": "text/javascript",
    "words.js": "text/javascript",
];

/// Long enough that no two releases share one.
const VERSION_DIGITS: usize = 16;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Context::new(&SHA256);
    for asset in ASSETS {
        hash.update(asset.name.as_bytes());
        hash.update(asset.body.as_bytes());
    }
    hex::encode(hash.finish())[..VERSION_DIGITS].to_owned()
});

/// The folder of the assets: a hash of them all, so that a browser may keep each for ever, and files that name one another
/// never mix releases.
#[must_use]
pub fn version() -> &'static str {
    &VERSION
}

/// The file of this name.
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The document of the page: `host` is the adapter that runs it, `assets` the URL of the assets, `scripts` the URLs of
/// scripts that are not ours.
#[must_use]
pub fn page(host: &str, assets: &str, scripts: &[&str]) -> String {
    let mut foreign = String::new();
    for script in scripts {
        let _ = write!(foreign, "<script src=\"{}\"></script>", escaped(script));
    }
    include_str!("../../../page/index.html")
        .replace("{{scripts}}", &foreign)
        .replace("{{assets}}", &escaped(assets))
        .replace("{{host}}", &escaped(host))
}

/// The document that a browser returns to from GitLab.
#[must_use]
pub fn callback_page(assets: &str, callback: &Callback) -> String {
    let template = include_str!("../../../page/callback.html");
    let (data, content) = match callback {
        Callback::Failed(sentence) => (
            String::new(),
            format!("<h1>Not signed in</h1><p class=\"message error\">{}</p>", escaped(sentence)),
        ),
        Callback::Authorized { sign_in, username, instance, site, code, opener } => {
            let opener = opener.as_deref().unwrap_or_default();
            let data = format!(
                " data-sign-in=\"{sign_in}\" data-code=\"{}\" data-opener=\"{}\"",
                escaped(code),
                escaped(opener)
            );
            let content = format!(
                "<h1>Signed in to GitLab</h1>\
                 <p>You are <strong>@{}</strong> at {}, and let <strong>{}</strong> use it to link groups.</p>\
                 <p id=\"done\" hidden>Go on in Jira: you can close this window.</p>\
                 <div id=\"by-hand\"><p>Enter this code on the page in Jira:</p><p class=\"code\">{}</p>\
                 <p class=\"message\">Enter it only if you started to sign in on that page yourself, and share it with nobody: whoever has it can link your groups to {}.</p></div>",
                escaped(username),
                escaped(instance),
                escaped(site),
                escaped(code),
                escaped(site),
            );
            (data, content)
        }
    };
    template
        .replace("{{assets}}", &escaped(assets))
        .replace("{{data}}", &data)
        .replace("{{content}}", &content)
}

/// The document in which whoever runs the bundle chooses a site: `sites` has their names by where they lead. `first_site` says,
/// in HTML, how the first one is added.
#[must_use]
pub fn choice(assets: &str, sites: &BTreeMap<String, String>, first_site: &'static str) -> String {
    let items = sites.iter().fold(String::new(), |mut items, (address, name)| {
        let _ = write!(items, "<li><a href=\"{}\">{}</a></li>", escaped(address), escaped(name));
        items
    });
    let content = if items.is_empty() {
        format!("<h1>No Jira site yet</h1><p>{first_site}</p>")
    } else {
        format!("<h1>Jira sites</h1><ul class=\"sites\">{items}</ul>")
    };
    include_str!("../../../page/sites.html")
        .replace("{{assets}}", &escaped(assets))
        .replace("{{content}}", &content)
}

/// `text` escaped for HTML, in an attribute or between tags.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Of the templates: what is filled in must not be filled in again.
            '{' => escaped.push_str("&#123;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_by_name_and_by_nothing_else() {
        assert!(asset("view.js").is_some_and(|asset| asset.content_type == "text/javascript"));
        for name in ["", "../index.html", "hosts/forge.js", "view.js/", "VIEW.JS"] {
            assert!(asset(name).is_none(), "{name}");
        }
        assert_eq!(version().len(), VERSION_DIGITS);
    }

    #[test]
    fn every_script_and_style_of_the_page_is_served() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../page");
        for folder in ["", "hosts/"] {
            for file in std::fs::read_dir(page.join(folder)).expect("a folder of the page") {
                let path = file.expect("a file").path();
                let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
                let name = format!("{folder}{name}");
                if path.extension().is_some_and(|extension| extension == "js" || extension == "css") {
                    assert!(name == "hosts/forge.js" || asset(&name).is_some(), "{name}");
                }
            }
        }
    }

    #[test]
    fn what_others_chose_is_text_in_the_documents() {
        let callback = Callback::Authorized {
            sign_in: crate::domain::SignInId::generate(),
            username: "<img src=x onerror=alert(1)>".to_owned(),
            instance: "https://gitlab.example.com/\"><script>".to_owned(),
            site: "{{data}}".to_owned(),
            code: "ABC-DEF".to_owned(),
            opener: Some("https://a.example\" onload=\"x".to_owned()),
        };
        let document = callback_page("/assets", &callback);
        assert!(
            !document.contains("<img") && !document.contains("<script>") && !document.contains("\" onload")
        );
        assert!(document.contains("&#123;&#123;data}}") && !document.contains("{{"));
        let document = page("connect\"", "/a", &["https://x.example/all.js?a=1&b=2"]);
        assert!(document.contains("all.js?a=1&amp;b=2") && !document.contains("{{"));
    }
}
