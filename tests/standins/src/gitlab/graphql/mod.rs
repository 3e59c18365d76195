//! `POST /api/graphql` (<https://docs.gitlab.com/api/graphql/>): checks what GitLab checks before it answers — credential
//! and scope, the document against the schema, the types of variables, the complexity — and answers what it refuses with
//! `errors` and the status 200. What the objects say is in `objects`.

mod complexity;
mod objects;

use std::sync::LazyLock;

use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::{Value, json};

use super::rest::{Answer, Call, Outcome};
use super::state::World;
use complexity::Complexity;
use objects::Root;

const SCHEMA: &str = include_str!("schema.graphql");

/// Where it is.
pub(crate) const PATH: &str = "/api/graphql";

/// The diffs of so many commits are answered in one request.
const DIFFS: usize = 10;

static NEWEST: LazyLock<Valid<Schema>> = LazyLock::new(|| schema(SCHEMA));

/// Before 16.0, commits had no `diffs`.
static WITHOUT_DIFFS: LazyLock<Valid<Schema>> =
    LazyLock::new(|| schema(&SCHEMA.replace("  diffs: [Diff!]\n", "")));

fn schema(text: &str) -> Valid<Schema> {
    Schema::parse_and_validate(text, "schema.graphql").expect("the schema is valid")
}

pub(crate) fn answer(world: &mut World, call: &Call) -> Outcome {
    let schema = if world.version.shows_commit_diffs() { &*NEWEST } else { &*WITHOUT_DIFFS };
    Ok(Answer::ok(match execute(world, call, schema) {
        Ok(answer) => answer,
        Err(messages) => {
            let errors: Vec<_> = messages.into_iter().map(|message| json!({ "message": message })).collect();
            json!({ "errors": errors })
        }
    }))
}

fn execute(world: &World, call: &Call, schema: &Valid<Schema>) -> Result<Value, Vec<String>> {
    let text = call.text("query").ok_or_else(|| vec!["No query string was present".to_owned()])?;
    let document = ExecutableDocument::parse_and_validate(schema, text, "query")
        .map_err(|refused| refused.errors.iter().map(|error| error.error.to_string()).collect::<Vec<_>>())?;
    let operation = document.operations.get(None).map_err(|error| vec![error.message().to_string()])?;
    let given = call.value("variables").filter(|given| !given.is_null()).unwrap_or_else(|| json!({}));
    let given: JsonMap =
        serde_json::from_value(given).map_err(|_| vec!["Variables are invalid".to_owned()])?;
    let variables = coerce_variable_values(schema, operation, &given)
        .map_err(|error| vec![error.message().to_string()])?;
    let complexity = Complexity::of(&document, operation, &variables, world.limit_of(call.user()));
    complexity.check(DIFFS)?;
    let root = Root { world, user: call.user(), complexity };
    let answer = Execution::new(schema, &document)
        .coerced_variable_values(&variables)
        .execute_sync(&root)
        .map_err(|error| vec![error.message().to_string()])?;
    serde_json::to_value(answer).map_err(|error| vec![error.to_string()])
}
