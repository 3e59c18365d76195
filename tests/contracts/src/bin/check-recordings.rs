//! `check-recordings FOLDER...`: holds the requests recorded in each folder's `*.jsonl` files against
//! Atlassian's documents. Exits 0 when all are valid, 1 when one is not or when there is nothing to check.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use contracts::{
    documents::Documents,
    recording,
    reference::{Reference, SKIPPED},
    verdict::Verdict,
};

/// Holds recorded requests to Jira against Atlassian's published documents.
#[derive(Parser)]
struct Arguments {
    /// Folders of recordings (`*.jsonl`).
    #[arg(required = true)]
    folders: Vec<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let Some(reference) = Reference::from_environment() else {
        println!("{SKIPPED}");
        return Ok(ExitCode::SUCCESS);
    };
    let documents = Documents::load(&reference)?;
    let mut recordings = Vec::new();
    for folder in &arguments.folders {
        recordings.extend(recording::read_folder(folder)?);
    }
    let verdict = Verdict::over(&documents, &recordings);
    println!("{verdict}");
    Ok(if verdict.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
