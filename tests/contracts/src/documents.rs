//! Atlassian's two descriptions of a request body, made ready for validation: the OpenAPI document of March
//! 2024 with its corrections, and the JSON Schemas of September 2026.
//! Where a request may differ from them is [`crate::exceptions`]; what they say only in words is [`crate::wording`].

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use crate::{
    exceptions::{AMENDMENTS, Amendment},
    operations,
    reference::Reference,
};

const OPENAPI: &str = "schemas/jira-software-cloud.openapi.2024-03-28.json";
const JSON_SCHEMAS: &str = "schemas/jira-provider-apis.jirajs-6.2.0";

/// Both documents.
pub struct Documents {
    operations: Vec<Operation>,
}

/// One operation of the OpenAPI document.
pub struct Operation {
    /// HTTP method, upper case.
    pub method: String,
    /// Path with its `{parameters}`.
    pub path: String,
    /// Validators for the body; empty for an operation without one.
    pub bodies: Vec<Body>,
}

/// One document's description of one operation's body.
pub struct Body {
    /// Which document, for messages.
    pub document: &'static str,
    /// Its compiled schema.
    pub validator: Validator,
}

impl Documents {
    /// Reads and compiles both documents.
    ///
    /// # Errors
    /// When a file is missing, is no schema, or no longer has what an [`Amendment`] replaces.
    pub fn load(reference: &Reference) -> Result<Self> {
        let openapi = reference.json(OPENAPI)?;
        let mut operations = Vec::new();
        for (path, item) in object(&openapi, "/paths")? {
            if !operations::is_provided(path) {
                continue;
            }
            for method in ["get", "post", "put", "delete"] {
                if let Some(description) = item.get(method) {
                    let bodies = bodies(reference, path, description)
                        .with_context(|| format!("the description of {method} {path}"))?;
                    operations.push(Operation { method: method.to_uppercase(), path: path.clone(), bodies });
                }
            }
        }
        ensure!(!operations.is_empty(), "{OPENAPI} describes no provider API");
        Ok(Self { operations })
    }

    /// Every operation, in the document's order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation of a request, by its path inside a site.
    #[must_use]
    pub fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        self.operations
            .iter()
            .find(|operation| operation.method == method && operations::matches(&operation.path, path))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

fn bodies(reference: &Reference, path: &str, operation: &Value) -> Result<Vec<Body>> {
    let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else {
        return Ok(Vec::new());
    };
    let name = operation["operationId"].as_str().context("no operationId")?;
    let mut schema = schema.clone();
    for amendment in AMENDMENTS.iter().filter(|amendment| amendment.operation == path) {
        amend(&mut schema, amendment)?;
    }
    translate(&mut schema);
    let newer = reference.json(format!("{JSON_SCHEMAS}/{name}.request.schema.json"))?;
    Ok(vec![
        Body { document: "OpenAPI 2024", validator: compile(&schema, Draft::Draft4)? },
        Body { document: "JSON Schema 2026", validator: compile(&newer, Draft::Draft202012)? },
    ])
}

fn compile(schema: &Value, draft: Draft) -> Result<Validator> {
    jsonschema::options()
        .with_draft(draft)
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| anyhow::anyhow!("{error} at {}", error.instance_path))
}

/// Turns OpenAPI 3.0's own spellings into JSON Schema's, in `schema` and every schema inside it.
fn translate(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    if keywords.contains_key("properties") {
        // The document leaves the type out where it is obvious to a reader, not to a validator.
        keywords.entry("type").or_insert_with(|| json!("object"));
    }
    translate_format(keywords);
    for (keyword, value) in keywords.iter_mut() {
        match (keyword.as_str(), value) {
            ("items" | "additionalProperties", inner) => translate(inner),
            ("properties", Value::Object(members)) => members.values_mut().for_each(translate),
            ("anyOf" | "oneOf" | "allOf", Value::Array(choices)) => choices.iter_mut().for_each(translate),
            _ => {}
        }
    }
}

fn translate_format(keywords: &mut Map<String, Value>) {
    match keywords.get("format").and_then(Value::as_str) {
        Some("url" | "URL") => {
            keywords.insert("format".into(), json!("uri"));
        }
        Some("int32") => {
            keywords.insert("maximum".into(), json!(i32::MAX));
        }
        _ => {}
    }
}

fn amend(schema: &mut Value, amendment: &Amendment) -> Result<()> {
    let (parent, keyword) = amendment.pointer.rsplit_once('/').context("a pointer names a keyword")?;
    let Some(Value::Object(keywords)) = schema.pointer_mut(parent) else {
        bail!("nothing at {parent}");
    };
    let found = keywords.get(keyword);
    let expected = match amendment.from {
        "" => found.is_none(),
        "*" => found.is_some(),
        from => found == Some(&serde_json::from_str(from)?),
    };
    ensure!(expected, "{} holds {found:?}: is the amendment still needed?", amendment.pointer);
    if amendment.to.is_empty() {
        keywords.remove(keyword);
    } else {
        keywords.insert(keyword.to_owned(), serde_json::from_str(amendment.to)?);
    }
    Ok(())
}

fn object<'a>(document: &'a Value, pointer: &str) -> Result<&'a Map<String, Value>> {
    document.pointer(pointer).and_then(Value::as_object).with_context(|| format!("no object at {pointer}"))
}
