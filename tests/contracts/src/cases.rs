//! The checklist `docs/CASES.md`: which acceptance case is covered by which test, or why it doesn't apply yet.
//! Reading the cases themselves, the checklist and the tree's test functions, and comparing the three.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// Groups of cases that the checklist has to name.
const GROUPS: [&str; 11] = ["K", "KB", "N", "NB", "Q", "A", "E", "C", "M", "T", "F"];

/// Cases that the list states without an id: the id they get here, and the words they begin with.
const UNNAMED: [(&str, &str); 4] = [
    ("Q-branch-ids", "Branch ids: SHA-256 of"),
    ("Q-pkce", "PKCE (RFC 7636 appendix B)"),
    ("Q-signing-token", "GitLab webhook signing token:"),
    ("M-service-ids", "JSM integration validation"),
];

/// The note of a row whose test is still to be written; no row may have it in a final check.
const NOT_YET: &str = "not yet";

/// One row of the checklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The case's id.
    pub id: String,
    /// Test functions that cover it; empty for `—`.
    pub tests: Vec<String>,
    /// Why no test covers it, or what the test leaves out.
    pub note: String,
}

/// The ids that a checklist has to have, from the text of the list of cases: ids in a table's first column,
/// ids in running text, and an id from here for each case that is stated without one.
///
/// # Errors
/// When the list no longer states a case that has its id from here.
pub fn required(cases: &str) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for line in cases.lines() {
        if line.starts_with('|') {
            ids.extend(first_column(line).and_then(|cell| case_id(cell.split(' ').next()?)));
        } else if !line.starts_with('#') {
            let words = without_code(line);
            ids.extend(words.split(|character: char| !character.is_alphanumeric()).filter_map(case_id));
        }
    }
    for (id, beginning) in UNNAMED {
        ensure!(cases.lines().any(|line| line.starts_with(beginning)), "no case begins with {beginning:?}");
        ids.insert(id.to_owned());
    }
    Ok(ids)
}

/// The rows of the checklist's tables: `| id | covered by | note |`.
///
/// # Errors
/// When a row doesn't have three columns.
pub fn checklist(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [id, tests, note] = cells[..] else {
            anyhow::bail!("not three columns: {line}");
        };
        if id == "id" || id.starts_with("---") {
            continue;
        }
        let names = tests.split(',').map(|name| name.trim().trim_matches('`')).filter(|name| *name != "—");
        rows.push(Row {
            id: id.to_owned(),
            tests: names.map(str::to_owned).collect(),
            note: note.to_owned(),
        });
    }
    Ok(rows)
}

/// What is wrong with a checklist, one sentence each. A `last` check also refuses rows that are not done yet.
#[must_use]
pub fn problems(
    required: &BTreeSet<String>,
    rows: &[Row],
    tests: &BTreeSet<String>,
    last: bool,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut listed = BTreeSet::new();
    for row in rows {
        if !listed.insert(&row.id) {
            problems.push(format!("{} is listed twice", row.id));
        }
        if !required.contains(&row.id) {
            problems.push(format!("{} is not a case", row.id));
        }
        if row.tests.is_empty() && row.note.is_empty() {
            problems.push(format!("{} has neither a test nor a reason", row.id));
        }
        if last && row.note.starts_with(NOT_YET) {
            problems.push(format!("{} is not done yet", row.id));
        }
        for name in row.tests.iter().filter(|name| !tests.contains(*name)) {
            problems.push(format!("{} names {name:?}, which is no test function in the tree", row.id));
        }
    }
    problems.extend(required.iter().filter(|id| !listed.contains(id)).map(|id| format!("{id} is missing")));
    problems
}

/// Names of all test functions in the `*.rs` files under `root`, build output and hidden folders apart.
///
/// # Errors
/// When a folder or file can't be read.
pub fn test_functions(root: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text =
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                names.extend(tests_in(&text));
            }
        }
    }
    Ok(names)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Functions with a test attribute (`#[test]`, `#[tokio::test]`, inside `proptest!` too).
fn tests_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            marked |= line.starts_with("#[test]") || line.contains("::test");
        } else if let Some(name) = function_name(line) {
            if marked {
                names.push(name.to_owned());
            }
            marked = false;
        } else if !line.is_empty() && !line.starts_with("//") {
            marked = false;
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

fn first_column(line: &str) -> Option<&str> {
    line.split('|').nth(1).map(str::trim)
}

/// `word` when it is an id of one of the [`GROUPS`]: the group's letters, then only digits.
fn case_id(word: &str) -> Option<String> {
    let digits = word.trim_start_matches(|character: char| character.is_ascii_uppercase());
    let group = word.strip_suffix(digits)?;
    let numbered = !digits.is_empty() && digits.chars().all(|character| character.is_ascii_digit());
    (numbered && GROUPS.contains(&group)).then(|| word.to_owned())
}

/// `line` without its `code spans`, which hold payloads, not references.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = "\
| id | texts | keys |
| --- | --- | --- |
| K24 (ours) | `JIRA-1234A` | M1 |
| S2 | other group | none |
Flags: C40 three flags `T9`; C41 (derived) only A-100, RS256.
Branch ids: SHA-256 of `main`
PKCE (RFC 7636 appendix B): verifier
GitLab webhook signing token: token
JSM integration validation: null
";

    fn row(id: &str, tests: &[&str], note: &str) -> Row {
        Row { id: id.into(), tests: tests.iter().map(|name| (*name).to_owned()).collect(), note: note.into() }
    }

    #[test]
    fn ids_come_from_first_columns_and_running_text() {
        let ids = required(CASES).unwrap();
        let expected = ["C40", "C41", "K24", "M-service-ids", "Q-branch-ids", "Q-pkce", "Q-signing-token"];
        assert_eq!(ids.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(required("| K1 | a | b |").is_err(), "an unnamed case has gone");
    }

    #[test]
    fn rows_of_a_checklist() {
        let text = "# Title\n\n| id | covered by | note |\n| --- | --- | --- |\n| K2 | `one`, `two` | |\n| K7 | — | why |\n";
        assert_eq!(checklist(text).unwrap(), [row("K2", &["one", "two"], ""), row("K7", &[], "why")]);
        assert!(checklist("| K2 | one |").is_err());
    }

    #[test]
    fn every_fault_of_a_checklist_is_named() {
        let required: BTreeSet<_> = ["K2", "K7", "K9", "K10"].map(str::to_owned).into();
        let tests: BTreeSet<_> = ["one".to_owned()].into();
        let rows = [
            row("K2", &["one"], ""),
            row("K2", &["gone"], ""),
            row("K7", &[], ""),
            row("K9", &[], "not yet"),
            row("X1", &[], "why"),
        ];
        let found = problems(&required, &rows, &tests, false);
        let expected = [
            "K2 is listed twice",
            "K2 names \"gone\"",
            "K7 has neither",
            "X1 is not a case",
            "K10 is missing",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(
            found.iter().zip(expected).all(|(found, beginning)| found.starts_with(beginning)),
            "{found:?}"
        );
        assert!(problems(&required, &rows, &tests, true).contains(&"K9 is not done yet".to_owned()));
    }

    #[test]
    fn only_marked_functions_are_tests() {
        let source = "#[test]\n#[should_panic]\nfn one() {}\nfn helper() {}\n    #[tokio::test(start_paused = true)]\n    async fn two() {\n#[test]\nstruct Not;\nfn three() {}\n#[test]\n/// text\nfn four<T>(\n";
        assert_eq!(tests_in(source), ["one", "two", "four"]);
    }
}
