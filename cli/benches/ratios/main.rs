//! The numbers that the documentation quotes, as ratios against a peer or a limit, by one command: `cargo bench`.
//! Both sides of a ratio run in turn, so that a machine that slows down slows both. `cargo bench -- calls` makes only the
//! numbers of that name: `lifecycle`, `transform`, `intake`, `calls`, `history`, `pace`, `memory`
//! or `explain`.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't go on ends")]

mod explain;
mod history;
mod intake;
mod lifecycle;
mod memory;
mod node;
mod pace;
#[path = "../../../tests/it/program.rs"]
mod program;
mod story;
mod transform;

use std::time::{Duration, Instant};

/// Rounds of each side; the median counts.
const ROUNDS: usize = 9;

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    println!("| measured | result |\n| --- | --- |");
    if is_wanted("lifecycle") {
        lifecycle::run().await;
    }
    if is_wanted("transform") {
        transform::run();
    }
    if is_wanted("intake") {
        intake::run().await;
    }
    if is_wanted("calls") {
        story::run().await;
    }
    if is_wanted("history") {
        history::run().await;
    }
    if is_wanted("pace") {
        pace::run().await;
    }
    if is_wanted("memory") {
        memory::run().await;
    }
    if is_wanted("explain") {
        explain::run().await;
    }
}

/// The medians of two actions, run in turn.
async fn in_turn<A: AsyncFnMut() -> Duration, B: AsyncFnMut() -> Duration>(mut a: A, mut b: B) -> (f64, f64) {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    // The first round fills caches.
    let _ = (a().await, b().await);
    for _ in 0..ROUNDS {
        of_a.push(a().await.as_secs_f64());
        of_b.push(b().await.as_secs_f64());
    }
    (median(of_a), median(of_b))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long `times` runs of `action` take.
fn timed(times: usize, mut action: impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..times {
        action();
    }
    started.elapsed()
}

fn row(measured: &str, result: &str) {
    println!("| {measured} | {result} |");
}
