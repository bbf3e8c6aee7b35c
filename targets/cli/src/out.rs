//! What people and programs read: text or one JSON document on standard output, progress and logs on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::Write;
use tracing_subscriber::EnvFilter;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    pub(crate) json: bool,
}

impl Out {
    /// Prints a result: as JSON where asked for, else as the text that `text` writes.
    pub(crate) fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let words = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            text(value)
        };
        write(&words)
    }

    /// Prints one of several results as it comes: as a line of JSON Lines where JSON was asked for.
    pub(crate) fn line<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let words = if self.json {
            serde_json::to_string(value)?
        } else {
            text()
        };
        write(&words)
    }

    /// Prints an error and what led to it.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let text = chain(error);
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": text }));
        } else {
            eprintln!("error: {text}");
        }
    }

    /// A bar for long work; hidden where nobody looks.
    pub(crate) fn progress(&self, what: &str, total: u64) -> ProgressBar {
        let bar = if self.json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(total)
        };
        // The template is fixed and known to parse; without it the bar is merely plainer.
        if let Ok(style) = ProgressStyle::with_template("{msg:<28} {bar:30} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_string());
        bar
    }
}

fn write(words: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", words.trim_end()) {
        // Whoever read the output has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A text without the numbers that the system gives its errors: `No such file or directory (os error 2)`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut said = parts.next().unwrap_or_default().to_string();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<i32>().is_ok() => said += rest,
            _ => said = format!("{said} (os error {part}"),
        }
    }
    said
}

/// An error and what led to it, in one line. Many an error says its cause itself: nothing is said twice.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(|cause| without_numbers(&cause.to_string())) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// Starts logs on standard error.
pub(crate) fn start_logging(verbose: u8, json: bool) {
    let default = ["warn", "info", "debug"][usize::from(verbose.min(2))];
    let filter = EnvFilter::try_from_env("SANDERLING_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        logs.json().init()
    } else {
        logs.with_target(false).init()
    }
}

/// A number of things: `1 device`, `3 devices`. A plural that is not made with an s is written out by its caller.
pub(crate) fn count(n: u64, thing: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{s}")
}

/// A size for people.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let unit = (0..units.len() - 1)
        .find(|&i| n < 1000u64.pow(i as u32 + 1))
        .unwrap_or(units.len() - 1);
    if unit == 0 {
        format!("{n} bytes")
    } else {
        format!("{:.1} {}", n as f64 / 1000f64.powi(unit as i32), units[unit])
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_says_nothing_twice() {
        let error = anyhow::anyhow!("no such file")
            .context("x.sdl: no such file")
            .context("cannot pack");
        assert_eq!(super::chain(&error), "cannot pack: x.sdl: no such file");
    }

    #[test]
    fn the_systems_numbers_are_left_out() {
        for (text, said) in [
            (
                "x.sdl: No such file or directory (os error 2)",
                "x.sdl: No such file or directory",
            ),
            ("a (os error 2): b (os error 13); c", "a: b; c"),
            ("(os error 2)", "(os error 2)"),
            (" (os error x) (os error", " (os error x) (os error"),
        ] {
            assert_eq!(super::without_numbers(text), said);
        }
        assert_eq!(super::count(1, "device"), "1 device");
        assert_eq!(super::count(0, "device"), "0 devices");
    }

    #[test]
    fn sizes() {
        assert_eq!(super::bytes(999), "999 bytes");
        assert_eq!(super::bytes(1_500), "1.5 kB");
        assert_eq!(super::bytes(3_063_551), "3.1 MB");
        assert_eq!(super::bytes(u64::MAX), "18446744.1 TB");
    }
}
