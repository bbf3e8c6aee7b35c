//! What models run on: a row for each word of `backend` in `agent.toml`.
//!
//! A backend is a value in [`SessionOptions::backends`]; sessions fall to the CPU for a node that it does not take, and for
//! everything when it fails. Each thread that loads models opens its own, for a backend stays in its thread. One that this
//! build or this board lacks says so.

use anyhow::bail;
use sanderling_daemon::Sessions;
use sanderling_session::SessionOptions;
use std::path::Path;

/// Puts backends into options; the folder is where it may keep compiled kernels.
type Choose = fn(&Path, &mut SessionOptions) -> anyhow::Result<()>;

/// A word and what it chooses.
struct Choice {
    word: &'static str,
    choose: Choose,
    /// Whether a board that lacks it goes on by the CPU.
    may_lack: bool,
}

const BACKENDS: &[Choice] = &[
    Choice {
        word: "auto",
        choose: cuda,
        may_lack: true,
    },
    Choice {
        word: "cpu",
        choose: |_, _| Ok(()),
        may_lack: false,
    },
    Choice {
        word: "cuda",
        choose: cuda,
        may_lack: false,
    },
];
/// Most threads.
const MAX_THREADS: usize = 256;

/// Sessions on the backend of a name; compiled kernels are kept below `state`.
pub(crate) fn sessions(name: &str, threads: usize, state: &Path) -> anyhow::Result<Sessions> {
    let Some(choice) = BACKENDS.iter().find(|choice| choice.word == name) else {
        let words: Vec<&str> = BACKENDS.iter().map(|choice| choice.word).collect();
        bail!("backend = \"{name}\": there is {}", words.join(", "));
    };
    if !(1..=MAX_THREADS).contains(&threads) {
        bail!("threads = {threads}: give 1 to {MAX_THREADS}");
    }
    let kernels = state.join("kernels");
    // Once here, so that a board without it is told at the start.
    if let Err(why) = (choice.choose)(&kernels, &mut SessionOptions::default()) {
        if !choice.may_lack {
            bail!("backend = \"{name}\": {why}");
        }
        tracing::info!("models run on the CPU: {why}");
        return Ok(Sessions::new(move || on_cpu(threads)));
    }
    let choose = choice.choose;
    Ok(Sessions::new(move || {
        let mut options = on_cpu(threads);
        if let Err(why) = choose(&kernels, &mut options) {
            tracing::warn!("models run on the CPU from now on: {why}");
        }
        options
    }))
}

fn on_cpu(threads: usize) -> SessionOptions {
    SessionOptions {
        threads,
        ..SessionOptions::default()
    }
}

#[cfg(feature = "cuda")]
fn cuda(kernels: &Path, options: &mut SessionOptions) -> anyhow::Result<()> {
    use sanderling_cuda::{CudaBackend, CudaOptions};
    let ops = sanderling_launch::LaunchTable(sanderling_launch::ops::ALL);
    let cache = Some(kernels.to_path_buf());
    let backend = CudaBackend::open(ops, CudaOptions { device: 0, cache })?;
    options.backends.push(std::rc::Rc::new(backend));
    Ok(())
}

#[cfg(not(feature = "cuda"))]
fn cuda(_kernels: &Path, _options: &mut SessionOptions) -> anyhow::Result<()> {
    bail!("this build has no CUDA; set \"auto\" or \"cpu\", or install a build that has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_not_is_said() {
        let state = tempfile::tempdir().unwrap();
        for name in ["auto", "cpu"] {
            assert!(sessions(name, 1, state.path()).is_ok());
        }
        let error = sessions("gpu", 1, state.path()).err().unwrap().to_string();
        assert!(error.contains("auto, cpu, cuda"), "{error}");
        assert!(sessions("cpu", 0, state.path()).is_err());
        // Where there is a GPU this opens it.
        if let Err(error) = sessions("cuda", 1, state.path()) {
            assert!(error.to_string().starts_with("backend = \"cuda\": "), "{error}");
        }
    }
}
