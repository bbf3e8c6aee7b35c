//! The server's process: this program, started with `serve`.

use anyhow::Context;
use sanderling_server::{Operator, Server, ServerConfig, TrustConfig};
use sanderling_sign::{InitOptions, init, os_random};
use sanderling_trust::UnixTime;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// The operator's token. The server listens on loopback for as long as the test takes.
pub(crate) const TOKEN: &str = "token of the load test's only operator";

/// Serves until standard input ends.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<()> {
    let mut config = ServerConfig::new(
        &folder.join("data"),
        TrustConfig::from_folder(&folder.join("trust"), true)?,
    );
    config.http = SocketAddr::from(([127, 0, 0, 1], 0));
    config.mqtt = None;
    config.operators.push(Operator::with_token("load", TOKEN));
    let server = Server::start_blocking(config)?;
    println!("{}", server.http_addr());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(server.stop()?)
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    director_root: Vec<u8>,
}

impl Process {
    /// Makes keys in `folder` where it holds none, and starts a server on them.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let trust = folder.join("trust");
        if !trust.exists() {
            init(&trust, &InitOptions::demo(now()), &mut os_random)?;
        }
        let director_root = std::fs::read(trust.join("director/1.root.json"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server's process")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .context("the server did not start; its own words are above")?;
        Ok(Self {
            child,
            address,
            director_root,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The director's first root, as devices pin it.
    pub(crate) fn director_root(&self) -> &[u8] {
        &self.director_root
    }

    /// Lets it end in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where the test failed on the way; after `stop` there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The system's clock.
pub(crate) fn now() -> UnixTime {
    UnixTime(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs()),
    )
}
