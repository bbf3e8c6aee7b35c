//! Runs one model and says how long each run took.
//!
//! ```text
//! bench_onnx MODEL [--input NAME=FILE.npy]… [--threads N] [--out DIR] [--int8] [--profile] [--runs N]
//! ```
//!
//! `MODEL` is an ONNX file, optimised as `pack` does it, or a bundle. With `--runs` it prints median and 95th
//! percentile; without, it reads a number of runs a line from standard input and answers with their milliseconds, so
//! that a peer can take turns with it.

mod npy;

use sanderling_compiler::onnx::{Limits, read_file};
use sanderling_compiler::{OptimiseOptions, QuantiseOptions, optimise, quantise};
use sanderling_core::{OpTable, Tensor, ops};
use sanderling_session::{ModelBytes, Profile, Session, SessionOptions};
use std::error::Error;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

#[derive(Default)]
struct Arguments {
    model: PathBuf,
    inputs: Vec<(String, PathBuf)>,
    threads: usize,
    out: Option<PathBuf>,
    int8: bool,
    profile: bool,
    runs: Option<usize>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut found = Arguments {
        threads: 1,
        ..Arguments::default()
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} takes a value"));
        match arg.as_str() {
            "--input" => {
                let value = value()?;
                let (name, file) = value.split_once('=').ok_or("--input takes NAME=FILE.npy")?;
                found.inputs.push((name.to_string(), PathBuf::from(file)));
            }
            "--threads" => found.threads = value()?.parse()?,
            "--out" => found.out = Some(PathBuf::from(value()?)),
            "--runs" => found.runs = Some(value()?.parse()?),
            "--int8" => found.int8 = true,
            "--profile" => found.profile = true,
            _ if arg.starts_with("--") => return Err(format!("unknown option {arg}").into()),
            _ => found.model = PathBuf::from(arg),
        }
    }
    Ok(found)
}

fn load(path: &Path, int8: bool, options: &SessionOptions) -> Result<Session, Box<dyn Error>> {
    if path.extension().is_some_and(|extension| extension == "sdl") {
        return Ok(Session::from_bundle(ModelBytes::read(path)?, options)?);
    }
    let table = OpTable(ops::ALL);
    let mut model = read_file(path, table, &Limits::default())?;
    optimise(&mut model.graph, table, &OptimiseOptions::default())?;
    if int8 {
        quantise(&mut model.graph, &QuantiseOptions::default())?;
    }
    Ok(Session::from_graph(model.graph, options)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let start = Instant::now();
    let profile = arguments.profile.then(|| {
        // A run is far shorter than the 584 years that nanoseconds count.
        Rc::new(Profile::new(move || start.elapsed().as_nanos() as u64))
    });
    let options = SessionOptions {
        threads: arguments.threads,
        profile: profile.clone(),
        ..SessionOptions::default()
    };
    let mut session = load(&arguments.model, arguments.int8, &options)?;
    let tensors: Vec<(String, Tensor)> = arguments
        .inputs
        .iter()
        .map(|(name, file)| Ok((name.clone(), npy::read(file)?)))
        .collect::<std::io::Result<_>>()?;
    let inputs: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.view()))
        .collect();
    let outputs = session.run(&inputs)?;
    if let Some(folder) = &arguments.out {
        for (index, (_, view)) in outputs.iter().enumerate() {
            npy::write(&folder.join(format!("{index}.npy")), &view)?;
        }
    }
    eprintln!("memory: {:?}", session.memory_use());
    if let Some(profile) = &profile {
        profile.reset();
    }
    let mut time = |runs: usize| -> Result<Vec<f64>, Box<dyn Error>> {
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            session.run(&inputs)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(times)
    };
    if let Some(runs) = arguments.runs {
        let (median, p95) = summary(time(runs)?);
        println!("median {median:.3} ms, 95th percentile {p95:.3} ms, {runs} runs");
    } else {
        for line in std::io::stdin().lock().lines() {
            let times: Vec<String> = time(line?.trim().parse()?)?
                .iter()
                .map(|t| format!("{t:.6}"))
                .collect();
            println!("{}", times.join(" "));
        }
    }
    if let Some(profile) = &profile {
        print_profile(profile);
    }
    Ok(())
}

/// Median and 95th percentile.
fn summary(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times
            .get((times.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    (at(0.5), at(0.95))
}

fn print_profile(profile: &Profile) {
    let mut rows = profile.rows();
    let total: u64 = rows.iter().map(|row| row.nanos).sum();
    rows.sort_by_key(|row| std::cmp::Reverse(row.nanos));
    for row in rows.iter().take(40) {
        let share = row.nanos as f64 * 100.0 / total.max(1) as f64;
        let mean = row.nanos as f64 / 1e3 / row.runs.max(1) as f64;
        println!(
            "{share:5.1} % {mean:9.1} µs  {:<20} {:<40} {} {}",
            row.op, row.kernel, row.output, row.node
        );
    }
}
