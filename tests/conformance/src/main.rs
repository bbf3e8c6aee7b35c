//! `sanderling-conformance FOLDER [--failures] [--write-passing FILE]`
//!
//! FOLDER is `onnx/backend/test/data` (or `node` in it) of an installed `onnx` package. Ends with an error where a
//! case that has passed before fails.

#![forbid(unsafe_code)]

use sanderling_conformance::{Outcome, Report, must_pass, run};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: sanderling-conformance FOLDER [--failures] [--write-passing FILE]\n\
    FOLDER: onnx/backend/test/data of an installed onnx package (pip install onnx)";

struct Options {
    folder: PathBuf,
    failures: bool,
    write_passing: Option<PathBuf>,
}

fn options() -> Option<Options> {
    let mut args = std::env::args_os().skip(1);
    let (mut folder, mut failures, mut write_passing) = (None, false, None);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--failures") => failures = true,
            Some("--write-passing") => write_passing = Some(PathBuf::from(args.next()?)),
            _ if folder.is_none() => folder = Some(PathBuf::from(arg)),
            _ => return None,
        }
    }
    Some(Options {
        folder: folder?,
        failures,
        write_passing,
    })
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // A panic is counted and named; its backtrace would drown the table.
    std::panic::set_hook(Box::new(|_| {}));
    let report = match run(&options.folder, &mut |_| {}) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{}: {error}\n{USAGE}", options.folder.display());
            return ExitCode::from(2);
        }
    };
    if options.failures {
        for case in &report.cases {
            if let Outcome::Failed(why) = &case.outcome {
                println!("{}: {}", case.name, why.lines().collect::<Vec<_>>().join(" | "));
            }
        }
    }
    println!("{report}");
    let written = options
        .write_passing
        .as_ref()
        .map(|path| (path, std::fs::write(path, passing(&report))));
    if let Some((path, Err(error))) = written {
        eprintln!("{}: {error}", path.display());
        return ExitCode::from(2);
    }
    judge(&report)
}

fn passing(report: &Report) -> String {
    let names = report
        .cases
        .iter()
        .filter(|case| case.passed())
        .map(|case| format!("{}\n", case.name));
    let head = "# Cases of ONNX's backend suite that have passed and may not fail again.\n\
        # Written by sanderling-conformance --write-passing.\n";
    names.fold(head.to_owned(), |text, name| text + &name)
}

fn judge(report: &Report) -> ExitCode {
    let news = report.news(must_pass());
    if !news.is_empty() {
        println!("{} cases pass that passing.txt does not name", news.len());
    }
    let regressions = report.regressions(must_pass());
    for (name, why) in &regressions {
        eprintln!("{name} passed before and fails now: {why}");
    }
    if regressions.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
