//! `sanderling-agent`: the daemon of a board. Agent and local inference API; no server, no compiler.
//!
//! It runs what `sanderling agent` runs ([`sanderling_daemon`]), told by a file instead of flags, under systemd: the
//! state folder, the socket's folder and the enrolment string come from the unit, readiness and the watchdog are told
//! to it. What models run on is chosen in [`backend`].
#![forbid(unsafe_code)]

mod backend;
mod config;
mod layers;
mod notify;

use anyhow::Context;
use clap::{Parser, Subcommand};
use sanderling_daemon::Daemon;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Keep a board's model up to date, and answer the programs on it.
#[derive(Parser)]
#[command(name = "sanderling-agent", version, max_term_width = 100)]
#[command(
    after_help = "The first start needs the enrolment string that `sanderling device enrol` printed on the operator's machine:\n  \
    sanderling-agent enrol < string.txt && systemctl restart sanderling-agent\n\n\
    `SANDERLING_LOG` takes tracing's filters; what happens is logged by default."
)]
struct Cli {
    /// Configuration; every value is explained in the file that the package installs.
    #[arg(
        long,
        default_value = "/etc/sanderling/agent.toml",
        global = true,
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Read the configuration and the files it names, say what is wrong, and end.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the enrolment string given on standard input, for the daemon's first start.
    Enrol,
    /// Print the digest of every integer layer of a run, as `sanderling hash --json` does.
    Layers(layers::Layers),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("SANDERLING_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // systemd's journal has times of its own.
        .without_time()
        .with_ansi(false)
        .init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Some(Command::Enrol) => return config::enrol(&cli.config),
        Some(Command::Layers(layers)) => return layers.run(),
        None => {}
    }
    let settings = config::read(&cli.config)?;
    let sessions = backend::sessions(&settings.backend, settings.threads, &settings.state)
        .with_context(|| cli.config.display().to_string())?;
    let (state, socket) = (settings.state.clone(), settings.inference.socket.clone());
    let options = config::options(settings, sessions).with_context(|| cli.config.display().to_string())?;
    if cli.check {
        println!("{}: right", cli.config.display());
        return Ok(());
    }
    sanderling_heap::give_large_blocks_back();
    let daemon = Daemon::start(options)?;
    let stopper = daemon.stopper();
    ctrlc::set_handler(move || stopper.stop())?;
    tracing::info!("device {} with its state in {}", daemon.device(), state.display());
    if let Some(socket) = socket {
        tracing::info!("programs of this device ask at {}", socket.display());
    }
    if let Some(address) = daemon.address() {
        tracing::info!("programs of this device ask at http://{address}");
    }
    let supervisor = notify::Supervisor::of_environment();
    supervisor.tell("READY=1");
    let ended = daemon.wait_alive(supervisor.every(), || supervisor.tell("WATCHDOG=1"));
    supervisor.tell("STOPPING=1");
    Ok(ended?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_hangs_together() {
        super::Cli::command().debug_assert();
    }
}
