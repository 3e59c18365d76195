//! A screen as people have it: light and dark, wide and narrow. What axe finds on it in each, and pictures for whoever wants
//! them. Getting to a screen is the stories'.

use std::path::{Path, PathBuf};

use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

use super::browser::Browser;

/// Colour modes as Jira names them on the page's root.
const MODES: [&str; 2] = ["light", "dark"];

/// Widths in CSS pixels: a desktop's, and the narrowest that WCAG 2.2 asks a page to fit (1.4.10).
const WIDTHS: [u32; 2] = [1280, 320];

/// Less than any screen needs, so that what a document is taller by is its content.
const SHORT: u32 = 240;

/// axe-core (<https://github.com/dequelabs/axe-core>), which is fetched and not copied: it has a licence of its own.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/axe/node_modules/axe-core/axe.min.js");

/// Runs all rules, with one that is off unless asked for: that a finger meets what it aims at (WCAG 2.2, 2.5.8).
const RUN_AXE: &str = r#"
const done = arguments[arguments.length - 1];
const told = ({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target.join(" ")}: ${failureSummary}`);
axe.run(document, { preload: false, resultTypes: ["violations"], rules: { "target-size": { enabled: true } } })
  .then(({ violations }) => done(violations.flatMap(told)), (error) => done([`axe failed: ${error}`]));
"#;

/// How tall the document is, and what lies over it.
const HEIGHT: &str = r#"
const dialog = document.querySelector("dialog[open]")?.getBoundingClientRect().bottom ?? 0;
return Math.ceil(Math.max(document.body.scrollHeight, dialog + 24));
"#;

/// What differs from run to run, as it is told in documents: addresses as the person of the story has them, and one day.
const TELL: &str = r#"
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  for (const [address, name] of arguments[0]) texts.currentNode.data = texts.currentNode.data.replaceAll(address, name);
}
for (const time of document.querySelectorAll("time:not([data-ago])")) {
  const hours = (new Date(time.dateTime) - Date.now()) / 3_600_000;
  time.textContent = hours > 24 ? "Mar 1, 2027, 12:00 AM" : hours > 0 ? "Mar 2, 2026, 1:30 PM" : "Mar 2, 2026, 9:30 AM";
}
"#;

/// As wide as a picture is shown in documents, and so many pixels for each of CSS.
const DOCUMENT_WIDTH: u32 = 760;
const DOCUMENT_SCALE: f64 = 1.2;

/// Where pictures for documents go, if somebody wants them.
pub fn documents() -> Option<PathBuf> {
    std::env::var_os("DOCUMENT_PICTURES").map(PathBuf::from)
}

impl Browser {
    /// Keeps a picture for documents, the same at each run on a machine; `names` are addresses and what they are called.
    pub async fn picture_for_documents(&self, folder: &Path, name: &str, names: &[(&str, &str)]) {
        self.script(TELL, vec![json!(names)]).await;
        self.appear("light", DOCUMENT_WIDTH, DOCUMENT_SCALE).await;
        self.keep(folder, name).await;
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
    }

    /// Looks at the screen in every appearance: fails where axe finds something, and keeps pictures if somebody wants them.
    pub async fn look(&self, name: &str) {
        let was = self.script("return document.documentElement.dataset.colorMode ?? null", Vec::new()).await;
        let mut found = Vec::new();
        for width in WIDTHS {
            for mode in MODES {
                self.appear(mode, width, 1.0).await;
                let violations = self.axe().await;
                found.extend(
                    violations.into_iter().map(|violation| format!("{mode}, {width} px: {violation}")),
                );
                self.picture(&format!("{name}-{mode}-{width}")).await;
            }
        }
        let restore = "if (arguments[0] === null) delete document.documentElement.dataset.colorMode; else document.documentElement.dataset.colorMode = arguments[0]";
        self.script(restore, vec![was]).await;
        self.prefer("").await;
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
        assert!(found.is_empty(), "axe finds on the screen {name}:\n{}", found.join("\n"));
    }

    /// Keeps a picture of the window, if somebody wants it.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else { return };
        self.keep(&folder, name).await;
    }

    async fn keep(&self, folder: &Path, name: &str) {
        std::fs::create_dir_all(folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Shows the screen in a colour mode, so wide, and as tall as it is.
    async fn appear(&self, mode: &str, width: u32, scale: f64) {
        // As Jira says it to the app's page, and as an operating system says it to any other.
        self.script("document.documentElement.dataset.colorMode = arguments[0]", vec![json!(mode)]).await;
        self.prefer(mode).await;
        self.measure(width, SHORT, scale).await;
        let height = self.script(HEIGHT, Vec::new()).await;
        self.measure(width, u32::try_from(height.as_u64().unwrap()).unwrap(), scale).await;
    }

    async fn prefer(&self, mode: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": mode });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await;
    }

    async fn measure(&self, width: u32, height: u32, scale: f64) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    async fn axe(&self) -> Vec<String> {
        // Where npm can't fetch it, and that was said.
        if std::env::var_os("WITHOUT_AXE").is_some() {
            return Vec::new();
        }
        if self.script("return typeof axe === 'undefined'", Vec::new()).await == true {
            let axe = std::fs::read_to_string(AXE)
                .unwrap_or_else(|error| panic!("axe-core is not there ({AXE}: {error}): make browser"));
            self.script(&axe, Vec::new()).await;
        }
        let found = self.client.execute_async(RUN_AXE, Vec::new()).await.unwrap();
        serde_json::from_value(found).unwrap()
    }

    async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap()
    }

    async fn devtools(&self, command: &'static str, parameters: Value) {
        self.client.issue_cmd(Devtools { command, parameters }).await.unwrap();
    }
}

/// A command of Chromium's own (<https://chromedevtools.github.io/devtools-protocol/>): WebDriver can't make a window
/// as narrow as a phone.
#[derive(Debug)]
struct Devtools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.command, "params": self.parameters }).to_string()))
    }
}
