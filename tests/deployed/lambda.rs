//! What is asked of Lambda, its logs and IAM at the emulator. The workspace has no clients of theirs, and the emulator
//! takes plain requests.

use serde_json::{Value, json};

use crate::bundle::STACK;
use crate::iam::Role;

/// Lambda, its logs and IAM.
pub struct Lambda<'a> {
    pub url: &'a str,
    pub http: &'a reqwest::Client,
}

impl Lambda<'_> {
    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    pub async fn is_there(&self, function: &str) -> bool {
        let path = format!("{}/2015-03-31/functions/{STACK}-{function}", self.url);
        self.http.get(path).send().await.unwrap().status().is_success()
    }

    /// The host of a function's URL.
    pub async fn url_host(&self, function: &str) -> String {
        let config = self.get(&format!("/2021-10-31/functions/{STACK}-{function}/url")).await;
        let url = config["FunctionUrl"].as_str().unwrap();
        url.split('/').nth(2).unwrap().to_owned()
    }

    /// ministack takes a number that comes from a parameter for a text, and then reads no queue. AWS knows no such
    /// difference.
    pub async fn number_the_concurrency(&self) {
        let sources = self.get("/2015-03-31/event-source-mappings/").await;
        for source in sources["EventSourceMappings"].as_array().unwrap() {
            let concurrency = source["ScalingConfig"]["MaximumConcurrency"].as_str();
            let Some(concurrency) = concurrency.map(|text| text.parse::<u64>().unwrap()) else { continue };
            let id = source["UUID"].as_str().unwrap();
            let change = json!({ "ScalingConfig": { "MaximumConcurrency": concurrency } });
            let path = format!("{}/2015-03-31/event-source-mappings/{id}", self.url);
            self.http.put(path).json(&change).send().await.unwrap().error_for_status().unwrap();
        }
    }

    /// The role that a function runs with.
    pub async fn role(&self, function: &str) -> Role {
        let found = self.get(&format!("/2015-03-31/functions/{STACK}-{function}")).await;
        let role = found["Configuration"]["Role"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let attached = self.iam(&format!("Action=ListAttachedRolePolicies&RoleName={role}")).await;
        assert!(!attached.contains("<PolicyArn>"), "{role} has managed policies: {attached}");
        let listed = self.iam(&format!("Action=ListRolePolicies&RoleName={role}")).await;
        let names: Vec<&str> = elements(&listed, "member").collect();
        let [name] = names[..] else { panic!("{role} has not one policy: {listed}") };
        let policy = self.iam(&format!("Action=GetRolePolicy&RoleName={role}&PolicyName={name}")).await;
        let document = elements(&policy, "PolicyDocument").next().unwrap();
        let (document, _) = url::form_urlencoded::parse(document.as_bytes()).next().unwrap();
        Role::read(&document).unwrap()
    }

    /// Starts a function with `event`, as a schedule does, and waits for its answer.
    pub async fn invoke(&self, function: &str, event: &Value) {
        let path = format!("{}/2015-03-31/functions/{STACK}-{function}/invocations", self.url);
        let answer = self.http.post(path).json(event).send().await.unwrap().error_for_status().unwrap();
        let failed = answer.headers().get("x-amz-function-error").cloned();
        assert!(failed.is_none(), "{function}: {}", answer.text().await.unwrap());
    }

    /// What a function logged.
    pub async fn log(&self, function: &str) -> String {
        let group = json!({ "logGroupName": format!("/aws/lambda/{STACK}-{function}") }).to_string();
        let request = self.http.post(self.url).header("x-amz-target", "Logs_20140328.FilterLogEvents");
        let request = request.header("content-type", "application/x-amz-json-1.1").body(group);
        let found: Value = request.send().await.unwrap().json().await.unwrap();
        let messages = found["events"].as_array().into_iter().flatten();
        messages
            .filter_map(|event| event["message"].as_str())
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    }

    async fn iam(&self, question: &str) -> String {
        let request = self.http.post(self.url).header("host", "iam.amazonaws.com");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(format!("{question}&Version=2010-05-08")).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }
}

/// The texts of the elements with this name.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&begin)?;
        let (text, after) = after.split_once(&end)?;
        rest = after;
        Some(text)
    })
}
