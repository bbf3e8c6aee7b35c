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
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_hangs_together() {
        super::Cli::command().debug_assert();
    }

    /// A line of an example as a shell would split it, up to a pipe, a redirection or the words that explain it.
    fn words(line: &str) -> Vec<String> {
        let line = line.split("   ").next().unwrap_or_default();
        let line = [" | ", " > ", " && "]
            .iter()
            .fold(line, |line, end| line.split(end).next().unwrap_or_default());
        let mut words = Vec::new();
        for (i, part) in line.split('\'').enumerate() {
            match i % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_string)),
                _ => words.push(part.to_string()),
            }
        }
        words
    }

    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let lines = help.lines().map(str::trim);
        found.extend(
            lines
                .filter(|line| line.starts_with("sanderling "))
                .map(str::to_string),
        );
        command.get_subcommands().for_each(|sub| examples(sub, found));
    }

    #[test]
    fn every_example_of_the_help_is_understood() {
        let mut lines = Vec::new();
        examples(&super::Cli::command(), &mut lines);
        assert!(lines.len() > 25, "{lines:?}");
        let enrolment = sanderling_wire::EnrolmentString {
            server: "https://fleet.example".into(),
            token: "t".into(),
            image_root: sanderling_wire::Digest([1; 32]),
            director_root: sanderling_wire::Digest([2; 32]),
            tls_ca: None,
        };
        for line in lines {
            // What stands for something that is different everywhere.
            let line = line.replace("sdl1:…", &enrolment.to_string());
            let line = match line.split_once('<') {
                Some((before, _)) => format!("{before}{}", "0".repeat(64)),
                None => line,
            };
            if let Err(error) = super::Cli::try_parse_from(words(&line)) {
                panic!("{line}\n{error}");
            }
        }
    }
}
