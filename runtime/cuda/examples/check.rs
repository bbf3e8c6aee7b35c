//! Runs bundles on CUDA and on the CPU, and says whether every integer layer is the same and how long each takes:
//!
//! ```text
//! check model.sdl …        prints, for each: layers compared, differences, median milliseconds of both
//! ```
//!
//! It reads nothing but the bundles and needs no network: build it elsewhere, carry it over. Exit status: 0 where nothing differs, and
//! where there is no GPU ("not run: no GPU"); 1 where something differs or fails; 2 where it was called wrongly.

use sanderling_core::backend::Backend;
use sanderling_core::{DType, OpTable, Tensor, ops};
use sanderling_cpu::{CpuBackend, CpuOptions, CpuTable};
use sanderling_cuda::{CudaBackend, CudaError, CudaOptions};
use sanderling_launch::LaunchTable;
use sanderling_session::{ModelBytes, PortInfo, Session, SessionOptions};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// Timed runs; the first few are not.
const RUNS: usize = 50;
const WARM: usize = 5;

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!("check model.sdl …: give the bundles to run");
        return ExitCode::from(2);
    }
    // A folder that nobody else can have made: what is in a cache is run. It goes with this.
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!(
                "no folder for compiled kernels can be made in {}: {error}",
                std::env::temp_dir().display()
            );
            return ExitCode::FAILURE;
        }
    };
    let options = CudaOptions {
        device: 0,
        cache: Some(folder.path().to_path_buf()),
    };
    let opened = Instant::now();
    let backend = match CudaBackend::open(LaunchTable(sanderling_launch::ops::ALL), options) {
        Ok(backend) => Rc::new(backend),
        Err(error @ (CudaError::NoDriver | CudaError::NoDevice { .. })) => {
            println!("not run: no GPU ({error})");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (major, minor) = backend.compiler().version();
    println!(
        "{}, sm_{}, NVRTC {major}.{minor}, opened in {} ms",
        backend.device(),
        backend.capability(),
        opened.elapsed().as_millis()
    );
    let mut failed = false;
    for path in &paths {
        match check(path, &backend) {
            Ok(differences) => failed |= differences > 0,
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                failed = true;
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Compares and times one bundle; how many layers differ.
fn check(path: &PathBuf, cuda: &Rc<CudaBackend>) -> Result<usize, Box<dyn std::error::Error>> {
    let bytes = ModelBytes::read(path)?;
    let table = CpuTable(sanderling_cpu::ops::ALL);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu: Rc<dyn Backend> = Rc::new(CpuBackend::new(
        table,
        OpTable(ops::ALL),
        CpuOptions::detect(threads),
    ));
    let session = |backends: Vec<Rc<dyn Backend>>| {
        let options = SessionOptions {
            backends,
            ..SessionOptions::default()
        };
        Session::from_bundle(bytes.clone(), &options)
    };
    let (mut alone, mut both) = (session(vec![cpu.clone()])?, session(vec![cuda.clone(), cpu])?);
    let inputs: Vec<Tensor> = alone.inputs().iter().map(input).collect::<Result<_, _>>()?;
    let names: Vec<String> = alone.inputs().iter().map(|port| port.name.clone()).collect();
    let given: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(inputs.iter().map(Tensor::view))
        .collect();
    let wanted = alone.layers(&given)?;
    let start = Instant::now();
    let found = both.layers(&given)?;
    let first = start.elapsed().as_millis();
    let compared = wanted.iter().filter(|layer| layer.digest.is_some()).count();
    let different = wanted.iter().zip(&found).filter(|(a, b)| a.digest != b.digest);
    let different: Vec<_> = different.map(|(layer, _)| &layer.value).collect();
    let (by_cuda, by_cpu) = (median(&mut both, &given)?, median(&mut alone, &given)?);
    if let Some(fallback) = both.fallbacks().first() {
        return Err(format!(
            "{} failed and the CPU took over: {}",
            fallback.backend, fallback.reason
        )
        .into());
    }
    let rows = both.kernels();
    let on_cuda = rows.iter().filter(|row| row.kernel.starts_with("cuda: "));
    println!(
        "{}: {compared} integer layers compared, {} differences, {} of {} nodes on CUDA; all layers, with compiling: {first} ms; \
         median of {RUNS}: CUDA {by_cuda:.2} ms, CPU ({threads} threads) {by_cpu:.2} ms",
        path.display(),
        different.len(),
        on_cuda.count(),
        rows.len(),
    );
    if let Some(value) = different.first() {
        println!("  the first that differs: {value}");
    }
    Ok(different.len())
}

/// Milliseconds.
fn median(
    session: &mut Session,
    given: &[(&str, sanderling_core::TensorView<'_>)],
) -> Result<f64, sanderling_session::SessionError> {
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..WARM + RUNS {
        let start = Instant::now();
        session.run(given)?;
        if run >= WARM {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Noise within what an input allows, the same everywhere; dimensions that the model leaves open are 1.
fn input(port: &PortInfo) -> Result<Tensor, Box<dyn std::error::Error>> {
    let ty = port.ty.as_ref().ok_or("an input without a type")?;
    let dims = ty.shape.iter().map(|dim| dim.fixed().map_or(1, |n| n as usize));
    let shape: Vec<usize> = dims.collect();
    let (least, most) = port.range.unwrap_or(match ty.dtype {
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        _ => (-1.0, 1.0),
    });
    let at = |i: usize| least + (most - least) * ((i * 2_654_435_761 % 1_000_003) as f64 / 1_000_003.0);
    let count: usize = shape.iter().product();
    Ok(match ty.dtype {
        DType::F32 => Tensor::from_slice(&shape, &(0..count).map(|i| at(i) as f32).collect::<Vec<_>>())?,
        DType::U8 => Tensor::from_slice(&shape, &(0..count).map(|i| at(i) as u8).collect::<Vec<_>>())?,
        DType::I8 => Tensor::from_slice(&shape, &(0..count).map(|i| at(i) as i8).collect::<Vec<_>>())?,
        other => return Err(format!("an input of {other:?}").into()),
    })
}
