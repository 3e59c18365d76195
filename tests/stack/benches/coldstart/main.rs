//! How the functions start, beside a function of Node that does the same as `installed`, and beside an empty one in Rust,
//! by one command: `make coldstart`. Every function is started as Lambda does it, from a process to an answer, but
//! on this machine and with stand-ins for AWS: the ratios say something, the absolute times are not Lambda's.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't go on ends")]

mod host;
mod subject;

use std::time::Duration;

use host::{Host, Run};
use subject::Subject;

/// Rounds that count. One takes every function in turn, so that a machine that slows down slows all of them.
const ROUNDS: usize = 25;

#[tokio::main]
async fn main() {
    let host = Host::start().await;
    let subjects = Subject::all(&host);
    let mut runs: Vec<Vec<Run>> = subjects.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
    // The first round fills caches.
    for round in 0..=ROUNDS {
        for (subject, runs) in subjects.iter().zip(&mut runs) {
            let run = host.run(subject).await;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    println!("| function | start to first poll | first answer | peak memory | program | zipped |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (subject, runs) in subjects.iter().zip(&runs) {
        let of = |what: fn(&Run) -> Duration| times(runs.iter().map(what).collect());
        let (poll, answer) = (of(|run| run.first_poll), of(|run| run.first_answer));
        let memory = runs.iter().map(|run| run.peak_kib).max().unwrap_or_default();
        let (program, zipped) = (megabytes(subject.bytes()), megabytes(subject.zipped_bytes()));
        let name = &subject.name;
        println!("| {name} | {poll} | {answer} | {:.1} MiB | {program} | {zipped} |", memory as f64 / 1024.0);
    }
}

/// Median and least, in milliseconds.
fn times(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.1} ms ({:.1})", milliseconds(times[times.len() / 2]), milliseconds(times[0]))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
