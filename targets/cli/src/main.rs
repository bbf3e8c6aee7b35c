//! The `sanderling` command: one file a command in `commands`, one row in [`Command`]. Libraries do the work.
#![forbid(unsafe_code)]

mod commands;
mod out;

use clap::{Parser, Subcommand};
use out::Out;
use std::process::ExitCode;

/// Heading of what every command takes.
const COMMON: &str = "Options of every command";

/// Run one quantised model on every kind of device; move the whole fleet to the next version without losing one.
#[derive(Parser)]
#[command(name = "sanderling", version, max_term_width = 110)]
#[command(
    after_help = "Start here:\n  sanderling demo        a fleet of twelve on this machine, in a minute\n  \
    sanderling pack model.onnx --out model.sdl && sanderling run model.sdl --random"
)]
struct Cli {
    /// Print data as JSON, one document, on standard output.
    #[arg(long, global = true, help_heading = COMMON)]
    json: bool,
    /// Log more: -v what happens, -vv everything. `SANDERLING_LOG` takes tracing's filters.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = COMMON)]
    verbose: u8,
    /// Write logs as JSON lines.
    #[arg(long, global = true, help_heading = COMMON)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

/// The commands. A new one is a file in `commands` and a row here.
#[derive(Subcommand)]
enum Command {
    /// Turn an ONNX model into a bundle.
    Pack(commands::pack::Pack),
    /// Run a bundle or an ONNX model on files, arrays or random input.
    Run(commands::run::Run),
    /// Show what a bundle or an ONNX model holds.
    Inspect(commands::inspect::Inspect),
    /// Print the digest of every integer layer of a run, and compare with another device's.
    Hash(commands::hash::Hash),
    /// Time a bundle or an ONNX model on this machine.
    Bench(commands::bench::Bench),
    /// Make and show keys and the roots of trust.
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Sign a bundle into an image repository, with the offline keys.
    Sign(commands::sign::Sign),
    /// Verify a bundle's bytes or a repository's signatures, as a device would.
    Verify(commands::verify::Verify),
    /// Serve models by the Open Inference Protocol v2.
    Serve(commands::serve::Serve),
    /// Run the fleet server.
    Server(commands::server::ServerCommand),
    /// Run a device: keep its model up to date, answer files, fall back by itself.
    Agent(commands::agent::Agent),
    /// Publish versions and roll them out.
    Rollout(commands::rollout::Rollout),
    /// Enrol, list and look into devices.
    Device(commands::device::Device),
    /// A fleet of twelve on this machine, from a packed model to a rollback, in about a minute.
    Demo(commands::demo::Demo),
    /// Print a completion script for a shell.
    Completions(commands::completions::Completions),
}

impl Command {
    fn run(self, out: &Out) -> anyhow::Result<()> {
        match self {
            Self::Pack(command) => command.run(out),
            Self::Run(command) => command.run(out),
            Self::Inspect(command) => command.run(out),
            Self::Hash(command) => command.run(out),
            Self::Bench(command) => command.run(out),
            Self::Keys(command) => command.run(out),
            Self::Sign(command) => command.run(out),
            Self::Verify(command) => command.run(out),
            Self::Serve(command) => command.run(out),
            Self::Server(command) => command.run(out),
            Self::Agent(command) => command.run(out),
            Self::Rollout(command) => command.run(out),
            Self::Device(command) => command.run(out),
            Self::Demo(command) => command.run(out),
            Self::Completions(command) => command.run(),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    out::start_logging(cli.verbose, cli.log_json);
    let out = Out { json: cli.json };
    match cli.command.run(&out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_hangs_together() {
        super::Cli::command().debug_assert();
    }
}
