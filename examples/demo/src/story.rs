//! The story from its first line to its exit status.

use crate::chronicle::Chronicle;
use crate::fleet::{Recruiting, recruit};
use crate::judge::Verdict;
use crate::models;
use crate::roles::{Owner, Role};
use crate::scenes::World;
use crate::timeline::Timeline;
use anyhow::{Context, bail};
use sanderling_client::Client;
use sanderling_server::{BlockingServer, Operator, Server, ServerConfig, Timing, TrustConfig};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Folders whose files the devices answer, where a machine has them.
const INPUTS: &[&str] = &[
    "/usr/share/doc",
    "/usr/include",
    "/usr/lib/python3",
    "/etc",
    "/usr/bin",
];
/// Files that every checkout has.
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How to tell it.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// This program.
    pub exe: PathBuf,
    /// Leave everything running at the end, for the browser.
    pub keep: bool,
    /// Keep state folders and logs here instead of in a temporary folder.
    pub folder: Option<PathBuf>,
}

/// Tells the story.
///
/// # Errors
/// Where a part could not be started, or the verdict is that something did not happen.
pub fn run(options: &DemoOptions) -> anyhow::Result<Verdict> {
    let temporary = tempfile::Builder::new().prefix("sanderling-demo-").tempdir()?;
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| temporary.path().to_path_buf());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let timeline = Timeline::new();
    timeline.chapter("Sanderling: twelve devices, four versions, one minute");
    let versions = pack(&folder, &timeline)?;
    sign(&options.exe, &folder, &versions, &timeline)?;

    let token_file = folder.join("operator.token");
    let (server, client) = start_server(&folder, &token_file)?;
    timeline.tell(format!("the fleet server is up; its page: {}", server.url()));
    let (cloud, cloud_url) = start_cloud(&options.exe, &versions[0].path)?;
    timeline.tell(format!("`sanderling serve` answers at {cloud_url}"));

    let chronicle = Chronicle::follow(&client)?;
    let mut world = World {
        timeline,
        chronicle,
        client,
        members: Vec::new(),
        versions,
        cloud: Some(cloud),
        exe: options.exe.clone(),
        repo: folder.join("trust/image"),
        token_file,
        verdict: Verdict::default(),
    };
    let told = tell(&mut world, &folder, server.http_addr(), &cloud_url);
    if let Some(mut cloud) = world.cloud.take() {
        // The story may have ended before it came to this.
        drop(cloud.kill());
        drop(cloud.wait());
    }
    world.timeline.finish();
    told?;
    conclude(world, options, server, &folder)
}

fn tell(world: &mut World, folder: &Path, server: SocketAddr, cloud: &str) -> anyhow::Result<()> {
    world.timeline.chapter("A fleet");
    let first = world.versions[0].clone();
    world.publish(&first, &["champion"])?;
    let inputs = inputs();
    let (exe, factory) = (world.exe.clone(), world.versions[0].path.clone());
    let recruiting = Recruiting {
        exe: &exe,
        folder,
        server,
        factory: &factory,
        inputs: &inputs,
        cloud,
    };
    world.members = recruit(&recruiting, &world.client)?;
    world.wait_for_fleet()?;
    world
        .timeline
        .chapter("v2, through kills, a damaged download and a lost network");
    let rollout = world.roll_out_good()?;
    world.timeline.chapter("v3 and v4, which must not pass");
    world.roll_out_bad()?;
    world.roll_out_broken()?;
    world.timeline.chapter("The cascade");
    world.lose_the_cloud()?;
    world.timeline.chapter("Back, by one command");
    world.roll_back(rollout)?;
    world.settle_accounts()?;
    world.judge_all();
    Ok(())
}

fn pack(folder: &Path, timeline: &Timeline) -> anyhow::Result<[models::Version; 4]> {
    timeline.waiting("packing magika, a model that tells what kind of file a file is");
    let words = [
        "float",
        "int8 weights",
        "int8, one layer with wrong scales",
        "int8, golden vectors that do not match",
    ];
    let mut next = words.iter();
    models::pack_all(folder, |version| {
        let what = next.next().copied().unwrap_or("");
        timeline.tell(format!(
            "packed {}: {what}, {:.1} MB, {}",
            version.name,
            version.length as f64 / 1e6,
            version.digest.short()
        ));
    })
}

/// The owner's machine: a process that makes keys, signs, and ends. Then the offline keys go away.
fn sign(exe: &Path, folder: &Path, versions: &[models::Version], timeline: &Timeline) -> anyhow::Result<()> {
    let trust = folder.join("trust");
    let role = folder.join("owner.json");
    let bundles = versions.iter().map(|version| version.path.clone()).collect();
    std::fs::write(
        &role,
        serde_json::to_vec(&Role::Owner(Owner {
            trust: trust.clone(),
            bundles,
        }))?,
    )?;
    let output = Command::new(exe)
        .args(["demo", "--role"])
        .arg(&role)
        .output()
        .context("cannot start the owner's process")?;
    if !output.status.success() {
        bail!(
            "the owner could not sign: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let safe = folder.join("safe");
    std::fs::create_dir_all(&safe)?;
    std::fs::rename(trust.join("offline"), safe.join("offline"))
        .context("cannot carry the offline keys away")?;
    timeline.tell("signed with the owner's keys (root 2 of 3); the offline keys are carried away");
    Ok(())
}

fn start_server(folder: &Path, token_file: &Path) -> anyhow::Result<(BlockingServer, Client)> {
    let mut bytes = [0; 16];
    sanderling_sign::os_random(&mut bytes)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(token_file, &token)?;
    let mut config = ServerConfig::new(
        &folder.join("server"),
        TrustConfig::from_folder(&folder.join("trust"), true)?,
    );
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (config.http, config.mqtt) = (free, Some(free));
    config.operators.push(Operator::with_token("demo", &token));
    config.timing = Timing {
        poll_interval_s: 1,
        plan_interval_s: 1,
        plan_debounce_ms: 100,
        ..Timing::default()
    };
    let server = Server::start_blocking(config)?;
    let client = Client::new(server.url(), &token)?;
    Ok((server, client))
}

/// Starts `sanderling serve`, and reads from its output where it listens.
fn start_cloud(exe: &Path, bundle: &Path) -> anyhow::Result<(Child, String)> {
    let mut child = Command::new(exe)
        .args(["--json", "serve", "--listen", "127.0.0.1:0"])
        .arg(bundle)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start `sanderling serve`")?;
    let output = child.stdout.take().context("its output is a pipe")?;
    let url = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, rest) = line.split_once("\"url\": \"")?;
            Some(rest.split('"').next()?.to_string())
        });
    match url {
        Some(url) => Ok((child, url)),
        None => bail!("`sanderling serve` ended without saying where it listens"),
    }
}

fn inputs() -> Vec<PathBuf> {
    let there: Vec<PathBuf> = INPUTS
        .iter()
        .map(PathBuf::from)
        .filter(|path| has_files(path))
        .collect();
    if there.is_empty() {
        vec![PathBuf::from(EXAMPLES)]
    } else {
        there
    }
}

fn has_files(folder: &Path) -> bool {
    sanderling_daemon::feed::Feed::of_folders(&[folder.to_path_buf()], b"").is_ok_and(|feed| feed.len() >= 50)
}

fn conclude(
    world: World,
    options: &DemoOptions,
    server: BlockingServer,
    folder: &Path,
) -> anyhow::Result<Verdict> {
    world
        .timeline
        .chapter("Verdict, from the devices' slots and the ledger");
    for finding in &world.verdict.findings {
        let text = if finding.holds {
            format!("  ok  {}", finding.what)
        } else {
            format!("  NO  {}: {}", finding.what, finding.found)
        };
        world.timeline.list(&text);
    }
    let seconds = world.timeline.elapsed().as_secs_f64();
    world
        .timeline
        .chapter(&format!("{seconds:.0} seconds. What to try next:"));
    let token = world.token_file.display();
    if options.keep {
        println!("  open {} and log in with the token in {token}", server.url());
        println!(
            "  sanderling device list --server {} --token-file {token}",
            server.url()
        );
        println!("  logs and state folders: {}", folder.display());
        println!("  Ctrl-C ends");
        let (stop, stopped) = std::sync::mpsc::channel();
        ctrlc::set_handler(move || stop.send(()).unwrap_or(()))?;
        stopped.recv()?;
    } else {
        println!("  sanderling demo --keep              the same, and it stays up for the browser");
        println!("  sanderling pack model.onnx          your own model; then `run`, `bench`, `inspect`");
        println!("  sanderling keys init trust          keys of your own; then `server`, `agent`, `rollout`");
    }
    let verdict = world.verdict.clone();
    // Devices first: a server that goes away would be news to them.
    drop(world);
    server.stop()?;
    let failed: Vec<String> = verdict.failures().map(|finding| finding.what.clone()).collect();
    if !verdict.is_good() {
        bail!("this did not happen: {}", failed.join("; "));
    }
    Ok(verdict)
}
