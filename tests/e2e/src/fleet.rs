//! A fleet of real processes on loopback, made as an owner makes one: keys, two signed versions, a server, devices.
//!
//! ```text
//!   Versions::pack ─ magika 1 (float), 2 (int8 weights)      once a test program: packing takes seconds
//!   Fleet::start   ─ keys init, sign, server, publish        one a test
//!   Fleet::device  ─ device enrol, agent                     as many as the test wants
//! ```
//!
//! Everything goes through commands; nothing here reads a database or a journal.

use crate::{Running, json, output, sanderling, succeed, wait_for, words};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take before it counts as failed: long, because machines that test are busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A packed bundle.
#[derive(Debug)]
pub struct Bundle {
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub digest: String,
}

/// Two versions of the model in `examples/magika`.
#[derive(Debug)]
pub struct Versions {
    _folder: TempDir,
    /// `magika@1`: float weights.
    pub old: Bundle,
    /// `magika@2`: int8 weights.
    pub new: Bundle,
}

impl Versions {
    /// Packs both.
    ///
    /// # Panics
    /// Where packing fails; likewise below, with what the command printed.
    #[must_use]
    pub fn pack() -> Self {
        let folder = TempDir::new().expect("there is a temporary folder");
        let pack = |version: &str, more: &[&str]| {
            let path = folder.path().join(format!("magika-{version}.sdl"));
            let mut command = sanderling(&[
                "--json",
                "pack",
                "examples/magika/sanderling.toml",
                "--version",
                version,
            ]);
            let digest = text(&json(command.arg("--out").arg(&path).args(more)), "/sha256");
            Bundle { path, digest }
        };
        let (old, new) = (pack("1", &[]), pack("2", &["--quantise", "int8"]));
        Self {
            _folder: folder,
            old,
            new,
        }
    }
}

/// The text at a JSON pointer.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no text at {pointer} in {value:#}"))
        .to_string()
}

/// Keys, a server with both versions published, and the folder they live in.
pub struct Fleet {
    folder: TempDir,
    server: Option<Running>,
    /// The server's URL.
    pub url: String,
    mqtt: String,
    poll_interval: String,
}

impl Fleet {
    /// Makes keys, signs and publishes both versions (`champion` is the old one). Devices poll every `poll_interval`
    /// seconds, and when the doorbell rings.
    #[must_use]
    pub fn start(versions: &Versions, poll_interval: u32) -> Self {
        let folder = TempDir::new().expect("there is a temporary folder");
        let mut fleet = Self {
            folder,
            server: None,
            url: "http://127.0.0.1:0".to_string(),
            mqtt: "127.0.0.1:0".to_string(),
            poll_interval: poll_interval.to_string(),
        };
        drop(succeed(sanderling(&["keys", "init"]).arg(fleet.trust())));
        fleet.start_server();
        for (bundle, more) in [
            (&versions.old, ["--alias", "champion"]),
            (&versions.new, ["--parent", "magika@1"]),
        ] {
            fleet.sign(&bundle.path, &[]);
            fleet.publish(&bundle.path, &more);
        }
        fleet
    }

    /// The folder of `keys init`.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.folder.path().join("trust")
    }

    /// The server's folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Signs a bundle into the image repository.
    pub fn sign(&self, bundle: &Path, more: &[&str]) {
        let mut command = sanderling(&["sign"]);
        command
            .arg(bundle)
            .arg("--keys")
            .arg(self.trust().join("offline"));
        drop(succeed(
            command.arg("--repo").arg(self.trust().join("image")).args(more),
        ));
    }

    /// The command that publishes a bundle from an image repository.
    #[must_use]
    pub fn publish_from(&self, bundle: &Path, repo: &Path, more: &[&str]) -> Command {
        let mut command = self.operator("rollout", &["publish"]);
        command
            .arg("--bundle")
            .arg(bundle)
            .arg("--repo")
            .arg(repo)
            .args(more);
        command
    }

    /// Publishes a bundle that was signed.
    pub fn publish(&self, bundle: &Path, more: &[&str]) {
        drop(json(&mut self.publish_from(
            bundle,
            &self.trust().join("image"),
            more,
        )));
    }

    /// The command that runs the server, with keys from `trust`.
    #[must_use]
    pub fn server_command(&self, trust: &Path) -> Command {
        let listen = self
            .url
            .strip_prefix("http://")
            .expect("the server is on loopback");
        let mut command = sanderling(&["--json", "server", "--listen", listen, "--mqtt", &self.mqtt]);
        command.arg("--trust").arg(trust).arg("--data").arg(self.data());
        command.args(["--poll-interval", &self.poll_interval]);
        command
    }

    /// Starts the server: on free ports at first, on the same ones later.
    pub fn start_server(&mut self) {
        let mut command = self.server_command(&self.trust());
        command.stdout(Stdio::piped()).stderr(self.log("server.log"));
        let mut server = Running::start(&mut command);
        let stdout = server.0.stdout.take().expect("standard output is a pipe");
        let started = serde_json::Deserializer::from_reader(stdout)
            .into_iter::<Value>()
            .next();
        let Some(Ok(started)) = started else {
            panic!("the server did not start:\n{}", self.read_log("server.log"));
        };
        (self.url, self.mqtt) = (text(&started, "/url"), text(&started, "/mqtt"));
        self.server = Some(server);
    }

    /// SIGKILL to the server, and with it to the broker.
    pub fn kill_server(&mut self) {
        drop(self.server.take());
    }

    fn log(&self, name: &str) -> Stdio {
        append(&self.folder.path().join(name)).into()
    }

    /// What a process of the fleet wrote to standard error.
    #[must_use]
    pub fn read_log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// An operator's command: `rollout` or `device` with its arguments, printing JSON.
    #[must_use]
    pub fn operator(&self, command: &str, arguments: &[&str]) -> Command {
        let mut full = sanderling(&["--json", command, "--server", &self.url, "--token-file"]);
        full.arg(self.data().join("operator.token")).args(arguments);
        full
    }

    /// Starts the update from the old to the new version; the rollout's number.
    #[must_use]
    pub fn roll_out(&self, stages: &str) -> String {
        let start = [
            "start", "magika@2", "--base", "magika@1", "--stages", stages, "--dwell", "1",
        ];
        json(&mut self.operator("rollout", &start))["id"].to_string()
    }

    /// A rollout as the operator sees it.
    #[must_use]
    pub fn rollout(&self, id: &str) -> Value {
        json(&mut self.operator("rollout", &["show", id]))
    }

    /// Waits until a rollout has ended well.
    pub fn wait_completed(&self, id: &str) {
        wait_for("the rollout's completion", PATIENCE, || {
            let rollout = self.rollout(id);
            let status = text(&rollout, "/status");
            assert!(
                ["running", "completed"].contains(&status.as_str()),
                "the rollout is {status}: {rollout:#}"
            );
            (status == "completed").then_some(())
        });
    }

    /// Every device as the server knows it.
    #[must_use]
    pub fn devices(&self) -> Vec<Value> {
        let list = json(&mut self.operator("device", &["list"]));
        list.as_array().expect("devices are a list").clone()
    }

    /// One device with what it counted: lists leave the sums out.
    #[must_use]
    pub fn shown(&self, id: &str) -> Value {
        json(&mut self.operator("device", &["show", id]))
    }

    /// An enrolment string.
    #[must_use]
    pub fn enrolment(&self) -> String {
        text(&json(&mut self.operator("device", &["enrol"])), "/enrolment")
    }

    /// A device with a state folder of its own; its agent is not started yet.
    #[must_use]
    pub fn device(&self, name: &str, factory: &Bundle) -> Device {
        let folder = self.folder.path().join("devices").join(name);
        std::fs::create_dir_all(&folder).expect("the scratch folder takes folders");
        Device {
            folder,
            factory: factory.path.clone(),
            enrolment: self.enrolment(),
            process: None,
        }
    }
}

/// A device: a state folder, an answers log, and an agent's process while it runs.
pub struct Device {
    folder: PathBuf,
    factory: PathBuf,
    enrolment: String,
    process: Option<Running>,
}

/// An answer in a device's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When, in Unix milliseconds.
    pub time_ms: u64,
    /// SHA-256 of the image that answered.
    pub image: String,
}

impl Device {
    /// Its state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The command that runs its agent: windows of a second, trials of two, files of this repository as inputs.
    #[must_use]
    pub fn command(&self, every_ms: u64) -> Command {
        let mut command = sanderling(&["--json", "agent", "--enrol", &self.enrolment]);
        command.args([
            "--window",
            "1",
            "--trial-seconds",
            "2",
            "--hardware",
            "test-device",
        ]);
        command
            .arg("--state")
            .arg(self.state())
            .arg("--factory")
            .arg(&self.factory);
        command.arg("--answers").arg(self.answers());
        for folder in ["docs", "runtime/core/src", "updater", "fleet-server"] {
            command.args(["--inputs", folder]);
        }
        command.arg("--every").arg(every_ms.to_string());
        command
    }

    /// Where its answers go.
    #[must_use]
    pub fn answers(&self) -> PathBuf {
        self.folder.join("answers.jsonl")
    }

    /// Starts its agent by [`Self::command`].
    pub fn start(&mut self, every_ms: u64) {
        self.run(&mut self.command(every_ms));
    }

    /// Starts its agent without inputs: it answers nothing and delivers what waits.
    pub fn start_delivering(&mut self) {
        let mut command = sanderling(&[
            "--json",
            "agent",
            "--enrol",
            &self.enrolment,
            "--hardware",
            "test-device",
        ]);
        command
            .arg("--state")
            .arg(self.state())
            .arg("--factory")
            .arg(&self.factory);
        self.run(&mut command);
    }

    /// Starts its agent by a command.
    pub fn run(&mut self, command: &mut Command) {
        let log = append(&self.folder.join("agent.log"));
        self.process = Some(Running::start(command.stdout(Stdio::null()).stderr(log)));
    }

    /// What its agent wrote to standard error.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// Resident memory of its agent, bytes.
    ///
    /// # Panics
    /// Where it does not run.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let process = self.process.as_ref().expect("the agent runs");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id()));
        let status = status.expect("a running process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        1024 * kibibytes.expect("its status gives VmRSS in kB")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// SIGTERM, and waits for a good end.
    ///
    /// # Panics
    /// Where the agent ended otherwise.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let told = output(Command::new("kill").args(["-TERM", &process.0.id().to_string()]));
        assert!(told.status.success(), "{}", words(&told));
        let status = wait_for("the agent's end", PATIENCE, || {
            process.0.try_wait().expect("a child can be waited for")
        });
        assert!(status.success(), "the agent ended with {status}:\n{}", self.log());
    }

    /// Its state folder as `device inspect` shows it; none before the agent has made it.
    #[must_use]
    pub fn inspect(&self) -> Option<Value> {
        let shown = output(sanderling(&["--json", "device", "inspect"]).arg(self.state()));
        shown
            .status
            .success()
            .then(|| serde_json::from_slice(&shown.stdout).expect("inspect prints JSON"))
    }

    /// The image it answers from, by its state folder; none for none.
    #[must_use]
    pub fn serving(&self) -> Option<String> {
        self.inspect()?
            .pointer("/serving/image/digest")?
            .as_str()
            .map(str::to_string)
    }

    /// Its id, once it is enrolled.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.inspect()?.pointer("/device")?.as_str().map(str::to_string)
    }

    /// Its answers so far. A last line cut by a kill is no answer.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let log = std::fs::read_to_string(self.answers()).unwrap_or_default();
        let parse = |line: &str| {
            let value: Value = serde_json::from_str(line).ok()?;
            Some(Line {
                time_ms: value["time_ms"].as_u64()?,
                image: value["image"].as_str()?.to_string(),
            })
        };
        log.lines().filter_map(parse).collect()
    }

    /// Waits until it has answered again.
    pub fn wait_for_answers(&self) {
        let before = self.lines().len();
        wait_for("answers", PATIENCE, || {
            (self.lines().len() > before).then_some(())
        });
    }
}

/// A file that is written on at its end.
fn append(path: &Path) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
