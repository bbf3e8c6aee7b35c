//! `cargo xtask`: install what the tests need, and run them.
//!
//! A run is a row of named steps. Each prints its name and how long it took; the first that fails ends the run
//! and says what to do. Downloads go into `.cache` in the repository and are kept between runs.
#![forbid(unsafe_code)]

mod aarch64;
mod android;
mod bare;
mod board;
mod cuda;
mod embedded;
mod everywhere;
mod install;
mod ios;
mod lines;
mod python;
mod steps;
mod toolchain;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const HELP: &str = "\
cargo xtask <command>

  test          everything the gate runs: formatting, lints, unit tests, conformance, end to end
  test --full   the same, and the exhaustive runs
  test --only STEP[,STEP]   some steps alone; `cargo xtask steps` lists them
  setup         install what the tests need (Debian packages when root on Debian; pip, npm packages in .cache)
  steps         list the steps of `test`
  android       make the AAR, in target/android, where there is an NDK; else say what is missing
  everywhere    run the models that must run everywhere on every target, and print what they gave
  deb           make the Debian packages of targets/jetson, in target/debian
  wasm          make the npm package and the page of examples/web, in target/npm
";

/// What a step may use.
pub(crate) struct Context {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Whether the exhaustive runs were asked for.
    pub(crate) full: bool,
}

/// Why a step failed, for the person who reads the log.
pub(crate) type StepResult = Result<(), String>;

impl Context {
    /// Downloads and tools, kept between runs.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_folder(&self) -> PathBuf {
        let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        set.unwrap_or_else(|| self.root.join("target"))
    }

    /// Python of the tests' own environment.
    pub(crate) fn python(&self) -> PathBuf {
        self.cache().join("venv/bin/python")
    }

    /// The unpacked packages with real models.
    pub(crate) fn zoo(&self) -> PathBuf {
        self.cache().join("zoo")
    }

    /// The native binary: what other targets are compared with. `SANDERLING_CLI` takes one that is built.
    pub(crate) fn native(&self) -> Result<PathBuf, String> {
        if let Some(built) = std::env::var_os("SANDERLING_CLI") {
            return Ok(built.into());
        }
        run(&mut self.cargo(&["build", "--release", "--quiet"]))?;
        Ok(self.target_folder().join("release/sanderling"))
    }

    /// A command in the repository's folder, with the variables that tests read.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("SANDERLING_ZOO", self.zoo())
            .env("SANDERLING_PYTHON", self.python())
            .env("SANDERLING_GPU", "required")
            .env("SANDERLING_NODE_MODULES", self.cache().join("npm/node_modules"));
        if std::env::var_os("CI").is_some() {
            // Built once, from nothing: what a second build or a debugger would use is not made.
            command
                .env("CARGO_INCREMENTAL", "0")
                .env("CARGO_PROFILE_DEV_DEBUG", "0");
        }
        command
    }

    /// Cargo, the one that runs this.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> StepResult {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    let line = words
        .join(std::ffi::OsStr::new(" "))
        .to_string_lossy()
        .into_owned();
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(error) => Err(format!("`{line}` could not be started: {error}")),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    // The manifest folder is tests/xtask: the repository is two up.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_path_buf();
    let context = Context {
        root,
        full: words.contains(&"--full"),
    };
    let result = match words.first() {
        Some(&"test") => test(&context, &words),
        Some(&"setup") => install::all(&context),
        Some(&"everywhere") => everywhere::all(&context),
        Some(&"wasm") => wasm::build(&context),
        Some(&"android") => android::aar(&context),
        Some(&"deb") => board::build(&context).map(|packages| {
            let files = packages.iter().map(|package| package.file.display());
            files.for_each(|file| println!("{file}"));
        }),
        Some(&"steps") => {
            steps::ALL
                .iter()
                .for_each(|step| println!("{:<12} {}", step.name, step.about));
            Ok(())
        }
        _ => {
            print!("{HELP}");
            return if words.is_empty() || words[0] == "help" {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nfailed: {message}");
            ExitCode::FAILURE
        }
    }
}

fn test(context: &Context, words: &[&str]) -> StepResult {
    let only = words
        .iter()
        .position(|&word| word == "--only")
        .map(|at| words.get(at + 1).copied().unwrap_or(""));
    let wanted: Option<Vec<&str>> = only.map(|list| list.split(',').collect());
    if let Some(unknown) = wanted
        .iter()
        .flatten()
        .find(|name| !steps::ALL.iter().any(|step| step.name == **name))
    {
        return Err(format!(
            "there is no step '{unknown}'; `cargo xtask steps` lists them"
        ));
    }
    let mut times = Vec::new();
    for step in steps::ALL {
        if wanted.as_ref().is_some_and(|names| !names.contains(&step.name)) {
            continue;
        }
        println!("\n=== {}: {}", step.name, step.about);
        let start = Instant::now();
        (step.run)(context).map_err(|message| format!("step {}: {message}", step.name))?;
        times.push((step.name, start.elapsed().as_secs()));
    }
    println!();
    times
        .iter()
        .for_each(|(name, seconds)| println!("{name:<12} {seconds:>5} s"));
    Ok(())
}
