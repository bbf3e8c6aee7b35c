//! How many check-ins a second one fleet server takes: an open-loop load test.
//!
//! ```text
//!   schedule ─ intended times ─► 256 keep-alive connections ─► server (a process of its own, SQLite, synchronous=FULL)
//!   (Poisson, never waits           each: next device, sign,        verify, one transaction, fsync, director document
//!    for the server)                wait for its time, send   ◄──   reply: document read, acknowledged mark checked
//! ```
//!
//! *Open loop*: requests are due by the clock, whether or not earlier ones were answered, and a latency counts from
//! the time a request was due. So a server that stalls is charged for everybody it kept waiting (no coordinated
//! omission), and so is a generator that cannot keep up. What is measured is the whole of a device's check-in: 10 000
//! devices with keys of their own, enrolled through the API; each request signed (RFC 9421), with a new telemetry
//! record of at least 200 B that the server commits to disk before it answers; each reply read as a device reads it.
//!
//! The server is this program again, started with `serve`: the same library that `sanderling server` runs, in another
//! process, so that its processor time and memory can be told from the generator's. Both share the machine.
//!
//! ```text
//! cargo run --release -p sanderling-bench --bin checkin_load                            steps to the highest rate
//! cargo run --release -p sanderling-bench --bin checkin_load -- --rate 2000 --seconds 60
//! ```
#![forbid(unsafe_code)]

mod connection;
mod device;
mod fleet;
mod load;
mod rollout;
mod server;
mod usage;

use anyhow::Context;
use clap::{Parser, Subcommand};
use load::{Outcome, Spacing};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Load a fleet server with check-ins, open loop, and say what it takes.
#[derive(Debug, Parser)]
struct Args {
    /// Devices to enrol.
    #[arg(long, default_value_t = 10_000)]
    devices: usize,
    /// One rate (check-ins a second) instead of steps to the highest.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds of a step.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Milliseconds that 99 of 100 check-ins must stay under.
    #[arg(long, default_value_t = 50.0)]
    limit_ms: f64,
    /// Keep-alive connections; each carries one request at a time.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// How requests follow each other.
    #[arg(long, value_enum, default_value_t = Spacing::Poisson)]
    spacing: Spacing,
    /// Seed of arrivals and keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No rollout over the fleet: documents without an assignment, and nothing to plan.
    #[arg(long)]
    no_rollout: bool,
    /// Folder for the server's data; a temporary one where left out.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be the server (the test starts this itself).
    #[command(hide = true)]
    Serve {
        /// Folder with keys and data.
        folder: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Role::Serve { folder }) = &args.role {
        return server::serve(folder);
    }
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = args
        .data
        .clone()
        .unwrap_or_else(|| temporary.path().to_path_buf());
    let server = server::Process::start(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = tokio::task::LocalSet::new().block_on(&runtime, measure(&args, &server, &folder));
    server.stop()?;
    measured
}

async fn measure(args: &Args, server: &server::Process, folder: &Path) -> anyhow::Result<()> {
    let fleet = Rc::new(fleet::enrol(server, args.devices, args.seed).await?);
    println!(
        "{} devices enrolled through the API in {:.1} s; {} B of telemetry a check-in; {} connections; {:?} arrivals",
        args.devices,
        fleet.enrolled_in.as_secs_f64(),
        fleet.record_len(),
        args.connections,
        args.spacing
    );
    let bench = load::Bench {
        fleet,
        connections: args.connections,
        spacing: args.spacing,
        seed: args.seed,
    };
    // Every device checks in once before a rollout can reach it, and once more to be given its place in it: documents
    // are minted, rows exist, caches are warm. Not measured.
    bench.warm_up(args.devices).await?;
    if !args.no_rollout {
        rollout::start(server, folder)?;
        bench.warm_up(args.devices).await?;
        println!("a rollout to all devices is running");
    }
    println!("{HEADER}");
    let mut steps = Steps {
        bench,
        server,
        seconds: args.seconds,
        limit_ms: args.limit_ms,
    };
    match args.rate {
        Some(rate) => drop(steps.step(rate).await?),
        None => {
            let best = steps.search().await?;
            println!(
                "highest rate tried with p99 under {} ms: {best:.0} check-ins/s",
                args.limit_ms
            );
        }
    }
    steps.bench.fleet.check_totals(server).await
}

const HEADER: &str =
    "  asked/s  got/s   p50 ms   p95 ms   p99 ms   max ms  errors  server CPU  generator CPU  server RSS";

/// Runs steps and prints a line for each.
struct Steps<'a> {
    bench: load::Bench,
    server: &'a server::Process,
    seconds: u64,
    limit_ms: f64,
}

impl Steps<'_> {
    /// One rate; whether the server held it.
    async fn step(&mut self, rate: f64) -> anyhow::Result<bool> {
        let (server, own) = (usage::of(self.server.pid())?, usage::own()?);
        let outcome = self.bench.run(rate, Duration::from_secs(self.seconds)).await;
        self.bench.seed += 1;
        let (server_now, own_now) = (usage::of(self.server.pid())?, usage::own()?);
        let share = |before: &usage::Usage, after: &usage::Usage| {
            100.0 * (after.cpu - before.cpu).as_secs_f64() / outcome.span.as_secs_f64()
        };
        let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|q| outcome.quantile_ms(q));
        println!(
            "{rate:>9.0} {:>6.0} {p50:>8.2} {p95:>8.2} {p99:>8.2} {max:>8.2} {:>7} {:>9.0} % {:>12.0} % {:>7.0} MiB",
            outcome.rate(),
            outcome.errors,
            share(&server, &server_now),
            share(&own, &own_now),
            server_now.rss as f64 / f64::from(1 << 20),
        );
        if let Some(reason) = &outcome.reason {
            println!("          first error: {reason}");
        }
        Ok(self.held(&outcome))
    }

    fn held(&self, outcome: &Outcome) -> bool {
        outcome.errors == 0 && outcome.quantile_ms(0.99) < self.limit_ms
    }

    /// Upwards by 500 until the server no longer holds, then halving the gap to 125; the highest rate held.
    async fn search(&mut self) -> anyhow::Result<f64> {
        let (mut held, mut rate, mut gap) = (0.0, 500.0, 500.0);
        // Bounded: no machine of today takes 100 000 a second.
        while rate < 100_000.0 && self.step(rate).await? {
            (held, rate) = (rate, rate + gap);
        }
        while gap > 125.0 {
            gap /= 2.0;
            if self.step(held + gap).await? {
                held += gap;
            }
        }
        Ok(held)
    }
}
