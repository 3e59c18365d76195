//! `check-cases [--final]`, run at the project's root: holds `docs/CASES.md` against the list of acceptance
//! cases and the tests in the tree. Exits 0 when they agree, 1 with one line per fault when not.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use contracts::{
    cases,
    reference::{Reference, SKIPPED},
};

const CHECKLIST: &str = "docs/CASES.md";

/// Holds docs/CASES.md against the list of acceptance cases and the tests in the tree.
#[derive(Parser)]
struct Arguments {
    /// Refuse rows whose note is "not yet".
    #[arg(long = "final")]
    last: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let Some(reference) = Reference::from_environment() else {
        println!("{SKIPPED}");
        return Ok(ExitCode::SUCCESS);
    };
    let required = cases::required(&reference.text("spec/cases.md")?)?;
    let rows = cases::checklist(
        &fs::read_to_string(CHECKLIST).with_context(|| format!("cannot read {CHECKLIST}"))?,
    )?;
    let problems = cases::problems(&required, &rows, &cases::test_functions(Path::new("."))?, arguments.last);
    for problem in &problems {
        println!("{CHECKLIST}: {problem}");
    }
    let covered = rows.iter().filter(|row| !row.tests.is_empty()).count();
    println!("{} cases, {covered} covered by a test, {} problems", required.len(), problems.len());
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
