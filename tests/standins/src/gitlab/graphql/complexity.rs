//! What a query costs, by GitLab's formula: a field costs one and what is below it, one more where it reads the repository,
//! and a list a hundredth more for each element of its page. Elements named by their numbers are not counted.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast;
use apollo_compiler::executable::{Field, Operation, Selection, SelectionSet};
use apollo_compiler::response::JsonMap;

use crate::gitlab::state::World;

/// The size of a page by default.
const DEFAULT_PAGE: f64 = 100.0;

/// Fields that read the repository.
const OF_REPOSITORY: [&str; 5] = ["tree", "lastCommit", "diffs", "diffHeadSha", "rootRef"];

#[derive(Clone, Copy)]
pub(crate) struct Complexity {
    pub(crate) score: usize,
    pub(crate) limit: usize,
    diffs: usize,
}

impl World {
    /// What this caller may spend on a query.
    pub(crate) fn limit_of(&self, user: Option<u64>) -> usize {
        match user {
            None => 200,
            Some(user) if self.is_admin(user) => 300,
            Some(_) => 250,
        }
    }
}

struct Counter<'a> {
    document: &'a ExecutableDocument,
    variables: &'a JsonMap,
    diffs: usize,
}

impl Complexity {
    pub(crate) fn of(
        document: &ExecutableDocument,
        operation: &Operation,
        variables: &JsonMap,
        limit: usize,
    ) -> Self {
        let mut counter = Counter { document, variables, diffs: 0 };
        let score = counter.below(&operation.selection_set);
        Complexity { score, limit, diffs: counter.diffs }
    }

    pub(crate) fn check(self, most_diffs: usize) -> Result<(), Vec<String>> {
        let Complexity { score, limit, diffs } = self;
        if score > limit {
            return Err(vec![format!(
                "Query has complexity of {score}, which exceeds max complexity of {limit}"
            )]);
        }
        if diffs > most_diffs {
            return Err(vec![format!(
                "\"diffs\" field can be requested only for {most_diffs} Commit(s) at a time."
            )]);
        }
        Ok(())
    }
}

impl Counter<'_> {
    fn below(&mut self, selections: &SelectionSet) -> usize {
        let document = self.document;
        let cost = |selection: &Selection| match selection {
            Selection::Field(field) => self.field(field),
            Selection::FragmentSpread(spread) => document
                .fragments
                .get(&spread.fragment_name)
                .map_or(0, |found| self.below(&found.selection_set)),
            Selection::InlineFragment(inline) => self.below(&inline.selection_set),
        };
        selections.selections.iter().map(cost).sum()
    }

    fn field(&mut self, field: &Field) -> usize {
        let name = field.name.as_str();
        self.diffs += usize::from(name == "diffs");
        let own = match name {
            "reviewers" => 5,
            name => 1 + usize::from(OF_REPOSITORY.contains(&name)),
        };
        let cost = own + self.below(&field.selection_set);
        let is_list = field.definition.ty.inner_named_type().ends_with("Connection");
        if !is_list || field.argument_by_name("iids").is_ok_and(|iids| !matches!(**iids, ast::Value::Null)) {
            return cost;
        }
        // Scores are whole numbers, and far below what a float holds.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let whole = (cost as f64 * (1.0 + self.page(field) * 0.01)) as usize;
        whole
    }

    fn page(&self, field: &Field) -> f64 {
        let Ok(first) = field.argument_by_name("first") else { return DEFAULT_PAGE };
        match &**first {
            ast::Value::Int(size) => size.try_to_f64().unwrap_or(DEFAULT_PAGE),
            ast::Value::Variable(name) => {
                self.variables.get(name.as_str()).and_then(|size| size.as_f64()).unwrap_or(DEFAULT_PAGE)
            }
            _ => DEFAULT_PAGE,
        }
    }
}
