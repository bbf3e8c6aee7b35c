//! `sanderling bench`.

use crate::commands::compute::Compute;
use crate::commands::model::{Inputs, load};
use crate::out::{Out, bytes, count};
use anyhow::Context;
use clap::Args;
use sanderling_session::{Profile, ProfileRow, Session, SessionOptions, TensorType};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Time that the timed runs take where their number is not given.
const BUDGET: Duration = Duration::from_secs(3);
/// Their least and greatest number then.
const RUNS: (usize, usize) = (10, 2000);
/// Time for warming up, and most runs for it: caches, clock frequency, page faults.
const WARM_UP: (Duration, usize) = (Duration::from_millis(300), 50);
/// Nodes that the profile lists.
const SLOWEST: usize = 10;

/// Time a bundle or an ONNX model on this machine.
#[derive(Args)]
#[command(
    after_help = "Input is random within the declared ranges. The first run, which prepares the shape, is timed on its own. Figures are of this machine at this time: compare only what ran side by side.\n\n\
    Examples:\n  sanderling bench magika-3.3.0.sdl\n  sanderling bench magika-3.3.0.sdl --shape bytes=4x2048 --threads 4 --profile\n  \
    sanderling bench magika-3.3.0.sdl --runs 1000 --json | jq .median_ms"
)]
pub(crate) struct Bench {
    /// A bundle (.sdl) or an ONNX model.
    model: PathBuf,
    /// Shape of an input, as in bytes=1x2048; needed where the model leaves dimensions open. May be repeated.
    #[arg(long, value_name = "[NAME=]SHAPE")]
    shape: Vec<String>,
    #[command(flatten)]
    compute: Compute,
    /// Timed runs; by default as many as three seconds take, from 10 to 2000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000), value_name = "N")]
    runs: Option<u64>,
    /// Show where time goes, by operator and by node.
    #[arg(long)]
    profile: bool,
}

#[derive(Serialize)]
struct Report {
    model: PathBuf,
    inputs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assumed: Vec<String>,
    threads: usize,
    /// Nodes by backend.
    nodes: BTreeMap<String, usize>,
    load_ms: f64,
    first_run_ms: f64,
    runs: usize,
    #[serde(flatten)]
    latency: Latency,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profiled>,
}

#[derive(Serialize)]
struct Latency {
    min_ms: f64,
    median_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    runs_per_second: f64,
}

#[derive(Serialize)]
struct Memory {
    arena: u64,
    scratch: u64,
    packed: u64,
}

#[derive(Serialize)]
struct Profiled {
    operators: Vec<OperatorRow>,
    slowest: Vec<NodeTime>,
    /// Operators without a kernel of their own, which run by their slow references.
    by_reference: Vec<String>,
}

#[derive(Serialize)]
struct OperatorRow {
    operator: String,
    nodes: usize,
    ms_per_run: f64,
    share: f64,
}

#[derive(Serialize)]
struct NodeTime {
    node: String,
    operator: String,
    kernel: String,
    output: String,
    ms_per_run: f64,
    share: f64,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How many nodes each backend computes.
fn by_backend(session: &Session) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for row in session.kernels() {
        let backend = row.kernel.split(':').next().unwrap_or_default();
        *nodes.entry(backend.to_string()).or_insert(0) += 1;
    }
    nodes
}

impl Bench {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let start = Instant::now();
        let profile = self.profile.then(|| {
            // 2⁶⁴ nanoseconds are five centuries.
            Rc::new(Profile::new(move || {
                u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
            }))
        });
        let options = SessionOptions {
            profile: profile.clone(),
            ..self.compute.options()?
        };
        let mut session = load(&self.model, &options)?;
        let loaded = start.elapsed();
        let inputs = Inputs::random(&session, &self.shape, 0)?;
        let views = inputs.views();
        let at = || self.model.display().to_string();
        let once = |session: &mut Session| -> anyhow::Result<Duration> {
            let start = Instant::now();
            session.run(&views).with_context(at)?;
            Ok(start.elapsed())
        };
        let first = once(&mut session)?;
        let usual = warm_up(|| once(&mut session))?;
        profile.iter().for_each(|profile| profile.reset());
        let runs = self.runs.map_or_else(
            || affordable(usual),
            |runs| usize::try_from(runs).unwrap_or(usize::MAX),
        );
        let times = timed(runs, out, || once(&mut session))?;
        self.compute.tell(&session);
        let memory = session.memory_use();
        let types = views
            .iter()
            .map(|(name, view)| format!("{name} {}", TensorType::fixed(view.dtype(), view.shape())));
        let report = Report {
            inputs: types.collect(),
            assumed: inputs.assumed.clone(),
            threads: options.threads,
            nodes: by_backend(&session),
            load_ms: ms(loaded),
            first_run_ms: ms(first),
            runs,
            latency: Latency::of(times),
            memory: Memory {
                arena: memory.arena,
                scratch: memory.scratch,
                packed: memory.packed,
            },
            profile: profile.map(|profile| profiled(&profile.rows(), runs)),
            model: self.model.clone(),
        };
        out.print(&report, text)
    }
}

/// The times of `runs` runs.
fn timed(
    runs: usize,
    out: &Out,
    mut once: impl FnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<Vec<Duration>> {
    let bar = out.progress("timing", runs as u64);
    let mut times = Vec::with_capacity(runs);
    // Drawing costs time of its own: not while a run is timed, and not often.
    let mut drawn = Instant::now();
    for done in 1..=runs {
        times.push(once()?);
        if drawn.elapsed() > Duration::from_millis(250) {
            bar.set_position(done as u64);
            drawn = Instant::now();
        }
    }
    bar.finish_and_clear();
    Ok(times)
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let total: Duration = times.iter().sum();
        let at = |p| ms(percentile(&times, p));
        Self {
            min_ms: at(0.0),
            median_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            runs_per_second: times.len() as f64 / total.as_secs_f64(),
        }
    }
}

/// Runs until the time or the number for it is used up; the shortest time is what a run takes.
fn warm_up(mut once: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut shortest = once()?;
    for _ in 1..WARM_UP.1 {
        if start.elapsed() > WARM_UP.0 {
            break;
        }
        shortest = shortest.min(once()?);
    }
    Ok(shortest)
}

/// How many runs fit into the budget.
fn affordable(run: Duration) -> usize {
    let fit = BUDGET.as_nanos() / run.as_nanos().max(1);
    usize::try_from(fit).unwrap_or(usize::MAX).clamp(RUNS.0, RUNS.1)
}

/// The time that a share `p` of the runs does not exceed (nearest rank); `sorted` is not empty.
fn percentile(sorted: &[Duration], p: f64) -> Duration {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.clamp(1, sorted.len().max(1)) - 1)
        .copied()
        .unwrap_or_default()
}

fn profiled(rows: &[ProfileRow], runs: usize) -> Profiled {
    let all: u64 = rows.iter().map(|row| row.nanos).sum();
    let share = |nanos: u64| nanos as f64 / all.max(1) as f64;
    let per_run = |nanos: u64| nanos as f64 / 1e6 / runs.max(1) as f64;
    let mut kinds: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for row in rows {
        let kind = kinds.entry(&row.op).or_default();
        *kind = (kind.0 + 1, kind.1 + row.nanos);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (_, nanos))| std::cmp::Reverse(*nanos));
    let mut nodes: Vec<&ProfileRow> = rows.iter().collect();
    nodes.sort_by_key(|row| std::cmp::Reverse(row.nanos));
    let mut by_reference: Vec<String> = rows
        .iter()
        .filter(|row| row.kernel.starts_with("reference"))
        .map(|row| row.op.clone())
        .collect();
    by_reference.sort_unstable();
    by_reference.dedup();
    let node = |row: &&ProfileRow| NodeTime {
        node: row.node.clone(),
        operator: row.op.clone(),
        kernel: row.kernel.clone(),
        output: row.output.clone(),
        ms_per_run: per_run(row.nanos),
        share: share(row.nanos),
    };
    let kind = |(op, (nodes, nanos)): (&str, (usize, u64))| OperatorRow {
        operator: op.to_string(),
        nodes,
        ms_per_run: per_run(nanos),
        share: share(nanos),
    };
    Profiled {
        operators: kinds.into_iter().map(kind).collect(),
        slowest: nodes.iter().take(SLOWEST).map(node).collect(),
        by_reference,
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    report
        .assumed
        .iter()
        .for_each(|note| text += &format!("note: {note}\n"));
    text += &format!(
        "{} on {}, {}, {}\n",
        report.model.display(),
        report.inputs.join(", "),
        count(report.threads as u64, "thread"),
        count(report.runs as u64, "run")
    );
    let latency = &report.latency;
    text += &format!(
        "latency    median {:.3} ms, p95 {:.3}, p99 {:.3} (min {:.3}, max {:.3})\n",
        latency.median_ms, latency.p95_ms, latency.p99_ms, latency.min_ms, latency.max_ms
    );
    text += &format!("rate       {:.1} runs a second\n", latency.runs_per_second);
    text += &format!(
        "start      load {:.1} ms, first run {:.1} ms\n",
        report.load_ms, report.first_run_ms
    );
    let memory = &report.memory;
    text += &format!(
        "memory     arena {}, scratch {}, packed weights {}\n",
        bytes(memory.arena),
        bytes(memory.scratch),
        bytes(memory.packed)
    );
    if let Some(profile) = &report.profile {
        text += &profile_text(profile);
    }
    text + "a timing of this machine at this time, on random input\n"
}

fn profile_text(profile: &Profiled) -> String {
    let mut text = format!(
        "\n{:<28} {:>6} {:>12} {:>8}\n",
        "operator", "nodes", "ms a run", "share"
    );
    for row in &profile.operators {
        text += &format!(
            "{:<28} {:>6} {:>12.4} {:>6.1} %\n",
            row.operator,
            row.nodes,
            row.ms_per_run,
            row.share * 100.0
        );
    }
    text += &format!("\n{:>9} {:>8}  slowest nodes\n", "ms a run", "share");
    for row in &profile.slowest {
        let (time, share) = (row.ms_per_run, row.share * 100.0);
        text += &format!(
            "{time:>9.4} {share:>6.1} %  {} → {} ({})\n",
            row.node, row.output, row.kernel
        );
    }
    if !profile.by_reference.is_empty() {
        text += &format!("\nslow: no kernel yet for {}\n", profile.by_reference.join(", "));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (p, want) in [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            assert_eq!(percentile(&times, p), Duration::from_millis(want));
        }
        assert_eq!(percentile(&times[..1], 0.99), Duration::from_millis(1));
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        assert_eq!(affordable(Duration::ZERO), RUNS.1);
        assert_eq!(affordable(Duration::from_millis(30)), 100);
        assert_eq!(affordable(Duration::from_secs(10)), RUNS.0);
    }

    #[test]
    fn a_profile_adds_up_by_operator() {
        let row = |op: &str, kernel: &str, nanos| ProfileRow {
            node: "n".into(),
            op: op.into(),
            kernel: kernel.into(),
            output: String::new(),
            runs: 2,
            nanos,
        };
        let profile = profiled(
            &[
                row("Conv", "gemm", 6_000_000),
                row("Conv", "direct", 1_000_000),
                row("Odd", "reference Odd", 1_000_000),
            ],
            2,
        );
        assert_eq!(
            (
                profile.operators[0].nodes,
                profile.operators[0].ms_per_run,
                profile.operators[0].share
            ),
            (2, 3.5, 0.875)
        );
        assert_eq!(profile.by_reference, ["Odd"]);
        assert_eq!(profile.slowest[0].kernel, "gemm");
    }
}
