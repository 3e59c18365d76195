//! The judgement over a set of recorded requests, and the report of it.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::{
    documents::{Body, Documents, Operation},
    exceptions::{VALUES, ValueException},
    operations,
    recording::{Exchange, Recorded},
    wording,
};

/// Violations that are printed in full; a systematic mistake is in hundreds of bodies.
const SHOWN: usize = 40;
/// Characters of one violation: a validator quotes the whole value, which may be a body of a megabyte.
const SHOWN_CHARACTERS: usize = 400;

/// What a set of recordings amounts to.
#[derive(Debug, Default)]
pub struct Verdict {
    requests: BTreeMap<String, Count>,
    exceptions: BTreeMap<&'static str, usize>,
    violations: Vec<String>,
}

#[derive(Debug, Default)]
struct Count {
    sent: usize,
    accepted: usize,
    bodies: usize,
}

impl Verdict {
    /// Judges every recorded request. Operations with a body appear in the report even when nothing used them.
    #[must_use]
    pub fn over(documents: &Documents, recordings: &[Recorded]) -> Self {
        let mut verdict = Self::default();
        for operation in documents.operations().iter().filter(|operation| !operation.bodies.is_empty()) {
            verdict.requests.entry(operation.to_string()).or_default();
        }
        for recorded in recordings {
            verdict.add(documents, recorded);
        }
        verdict
    }

    /// Whether at least one body was checked and nothing was wrong.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.violations.is_empty() && self.requests.values().any(|count| count.bodies > 0)
    }

    fn add(&mut self, documents: &Documents, recorded: &Recorded) {
        let Exchange { api, method, path, body, status, .. } = &recorded.exchange;
        let path = operations::site_path(api, path).unwrap_or_default();
        let Some(operation) = documents.operation(method, &path) else {
            self.violation(recorded, "no such operation");
            return;
        };
        self.count(operation, *status);
        if operation.bodies.is_empty() && !body.is_null() {
            self.violation(recorded, "this operation has no body");
        }
        for document in &operation.bodies {
            self.compare(document, recorded);
        }
        for text in wording::violations(body) {
            self.violation(recorded, &text);
        }
    }

    fn compare(&mut self, document: &Body, recorded: &Recorded) {
        for error in document.validator.iter_errors(&recorded.exchange.body) {
            let pointer = error.instance_path.as_str();
            match allowed(&recorded.exchange.body, pointer) {
                Some(exception) => *self.exceptions.entry(exception.name).or_default() += 1,
                None => self.violation(recorded, &format!("{}: {pointer}: {error}", document.document)),
            }
        }
    }

    fn count(&mut self, operation: &Operation, status: u16) {
        let count = self.requests.entry(operation.to_string()).or_default();
        count.sent += 1;
        count.accepted += usize::from((200..300).contains(&status));
        count.bodies += usize::from(!operation.bodies.is_empty());
    }

    fn violation(&mut self, recorded: &Recorded, text: &str) {
        let Exchange { api, method, path, connection, .. } = &recorded.exchange;
        let text: String = text.chars().take(SHOWN_CHARACTERS).collect();
        self.violations.push(format!("{} {method} {api} {path} ({connection}): {text}", recorded.place));
    }
}

fn allowed(body: &Value, pointer: &str) -> Option<&'static ValueException> {
    ValueException::find(pointer, body.pointer(pointer)?)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>8} {:>8}  request", "sent", "accepted")?;
        for (name, count) in &self.requests {
            writeln!(f, "{:>8} {:>8}  {name}", count.sent, count.accepted)?;
        }
        for exception in &VALUES {
            let used = self.exceptions.get(exception.name).copied().unwrap_or_default();
            writeln!(
                f,
                "exception {}: refused by a document {used} times ({})",
                exception.name, exception.reason
            )?;
        }
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        let bodies: usize = self.requests.values().map(|count| count.bodies).sum();
        write!(f, "{bodies} bodies checked, {} violations", self.violations.len())
    }
}
