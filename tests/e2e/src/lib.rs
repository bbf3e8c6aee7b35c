//! End-to-end tests: the `sanderling` binary as a user runs it, real sockets, real files, real kills.
//!
//! Nothing here knows the product's insides; tests read what a user reads: output, `--json`, the HTTP API.
#![forbid(unsafe_code)]

pub mod fleet;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/e2e lies two below the root")
        .to_path_buf()
}

/// The binary, built by the same profile as the tests, beside them.
///
/// # Panics
/// Where it has not been built: `cargo build --release` (or without, as the tests) makes it.
#[must_use]
pub fn binary() -> PathBuf {
    let exe = std::env::current_exe().expect("a running test has a path");
    let path = exe
        .ancestors()
        .nth(2)
        .expect("test binaries lie in target/<profile>/deps")
        .join("sanderling");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build` with the profile of the tests first",
        path.display()
    );
    path
}

/// A `sanderling` command.
#[must_use]
pub fn sanderling(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs to the end.
///
/// # Panics
/// Where the command cannot be started.
#[must_use]
pub fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command that must succeed; its standard output.
///
/// # Panics
/// Where it fails, with what it printed.
#[must_use]
pub fn succeed(command: &mut Command) -> String {
    let result = output(command);
    assert!(result.status.success(), "{command:?}\n{}", words(&result));
    String::from_utf8_lossy(&result.stdout).into_owned()
}

/// Runs a command that must succeed and print JSON.
///
/// # Panics
/// Where it fails or prints something else.
#[must_use]
pub fn json(command: &mut Command) -> serde_json::Value {
    let text = succeed(command);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{command:?} printed no JSON ({error}):\n{text}"))
}

/// What a command printed, for messages.
#[must_use]
pub fn words(output: &Output) -> String {
    let mut text = format!("{}\n", output.status);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Waits until `condition` gives something, looking every 50 ms.
///
/// # Panics
/// After `limit`, with `what` was waited for.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that does not outlive the test.
pub struct Running(pub Child);

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    /// SIGINT, as Ctrl-C sends it.
    ///
    /// # Panics
    /// Where there is no `kill` command.
    pub fn interrupt(&self) {
        let status = Command::new("kill")
            .args(["-INT", &self.0.id().to_string()])
            .status();
        assert!(
            status.expect("`kill` is a standard command").success(),
            "the process is gone already"
        );
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
