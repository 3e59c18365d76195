//! Headless Chromium through its driver (<https://www.w3.org/TR/webdriver2/>): what a person sees and clicks.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::wd::{Capabilities, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long something may take to appear: generous, since other tests run beside.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A desktop's.
const SIZE: (u32, u32) = (1280, 1400);

/// A browser with one window. Both processes end with it.
pub struct Browser {
    pub(super) client: Client,
    _driver: Driver,
}

/// The driver and what it has started; ended when dropped.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

impl Browser {
    /// Starts the driver, and the browser through it.
    pub async fn start() -> Self {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            // A group, so that the browser that it starts can be ended with it.
            .process_group(0)
            .spawn()
            .expect("chromedriver starts: on Debian, apt-get install chromium-driver");
        let mut driver = Driver(driver);
        let mut lines = BufReader::new(driver.0.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("the driver says its port");
            if let Some(port) = line.split("started successfully on port ").nth(1) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Nobody reads on; a full pipe must not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut capabilities = Capabilities::new();
        // Tests run as root in containers, where Chromium's own sandbox can't be set up.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en-GB",
        ];
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": arguments }));
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let client = ClientBuilder::new(connector)
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        client.set_window_size(SIZE.0, SIZE.1).await.unwrap();
        Self { client, _driver: driver }
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Goes into the frame that Jira's page has around the app's.
    pub async fn enter_frame(&self) {
        let frame = self.client.wait().at_most(TIMEOUT).for_element(Locator::Id("app")).await.unwrap();
        frame.enter_frame().await.unwrap();
    }

    /// Waits until the page shows this text, as text.
    pub async fn reads(&self, text: &str) {
        let waited = tokio::time::timeout(TIMEOUT, async {
            while !self.shows(text).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        if waited.await.is_err() {
            self.picture("failed").await;
            panic!("the page does not show {text:?}, but: {}", self.text().await);
        }
    }

    /// Waits until the page shows this text no more.
    pub async fn leaves(&self, text: &str) {
        let waited = tokio::time::timeout(TIMEOUT, async {
            while self.shows(text).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("the page still shows {text:?}"));
    }

    /// Whether the page shows this text now.
    pub async fn shows(&self, text: &str) -> bool {
        self.text().await.contains(text)
    }

    async fn text(&self) -> String {
        let text =
            self.client.execute("return document.body ? document.body.innerText : ''", Vec::new()).await;
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Clicks the button that is named so, to whoever sees it or has it read out.
    pub async fn click(&self, name: &str) {
        let name = literal(name);
        // A dialog that is open keeps everything else from being clicked.
        let dialog = self.client.find(Locator::Css("dialog[open]")).await.is_ok();
        let within = if dialog { "//dialog" } else { "" };
        let named = format!("normalize-space()={name} or @aria-label={name}");
        self.click_at(&format!("{within}//button[({named}) and not(ancestor::*[@hidden])]"), &name).await;
    }

    /// Clicks the first button whose name begins so.
    pub async fn click_first(&self, name: &str) {
        let name = literal(name);
        self.click_at(&format!("//button[starts-with(normalize-space(), {name})]"), &name).await;
    }

    async fn click_at(&self, path: &str, name: &str) {
        let button = self.client.wait().at_most(TIMEOUT).for_element(Locator::XPath(path)).await;
        match button {
            Ok(button) => button.click().await.unwrap(),
            Err(error) => panic!("there is no button {name} ({error}): {}", self.text().await),
        }
    }

    /// Chooses what this label says, or opens what this summary hides.
    pub async fn choose(&self, text: &str) {
        let text = literal(text);
        let path = format!("//label[normalize-space()={text}]|//summary[normalize-space()={text}]");
        let label = self.client.wait().at_most(TIMEOUT).for_element(Locator::XPath(&path)).await.unwrap();
        label.click().await.unwrap();
    }

    /// Types into the field with this label, in place of what is there.
    pub async fn enter(&self, label: &str, text: &str) {
        let path = format!("//input[@id=//label[normalize-space()={}]/@for]", literal(label));
        let field = self.client.wait().at_most(TIMEOUT).for_element(Locator::XPath(&path)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// In the window that was opened, authorizes as this person of GitLab's stand-in, and comes back; with the code that is
    /// shown there, where it has to be entered.
    pub async fn authorize_as(&self, username: &str, code_by_hand: bool) -> Option<String> {
        let home = self.client.window().await.unwrap();
        let opened = self.other_window(&home).await;
        self.client.switch_to_window(opened).await.unwrap();
        let button = format!("as-{username}");
        let wait = self.client.wait();
        wait.at_most(TIMEOUT).for_element(Locator::Id(&button)).await.unwrap().click().await.unwrap();
        let code = if code_by_hand {
            let code = self.client.wait().at_most(TIMEOUT).for_element(Locator::Css(".code")).await.unwrap();
            self.look("callback-code").await;
            Some(code.text().await.unwrap())
        } else {
            self.closes(&home).await;
            None
        };
        self.client.switch_to_window(home).await.unwrap();
        self.enter_frame_if_any().await;
        code
    }

    async fn other_window(&self, home: &WindowHandle) -> WindowHandle {
        for _ in 0..TIMEOUT.as_millis() / 100 {
            if let Some(other) = self.client.windows().await.unwrap().into_iter().find(|other| other != home)
            {
                return other;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no window was opened");
    }

    /// Waits until the opened window closes by itself.
    async fn closes(&self, home: &WindowHandle) {
        for _ in 0..TIMEOUT.as_millis() / 100 {
            if self.client.windows().await.unwrap().iter().all(|window| window == home) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the window does not close: the code does not reach the page");
    }

    async fn enter_frame_if_any(&self) {
        if let Ok(frame) = self.client.find(Locator::Id("app")).await {
            frame.enter_frame().await.unwrap();
        }
    }

    /// The title of the document that is shown.
    pub async fn title(&self) -> String {
        self.client.title().await.unwrap()
    }
}

/// A text in XPath, which has no escapes.
fn literal(text: &str) -> String {
    let parts: Vec<String> = text.split('"').map(|part| format!("\"{part}\"")).collect();
    match parts.as_slice() {
        [one] => one.clone(),
        parts => format!("concat({})", parts.join(", '\"', ")),
    }
}
