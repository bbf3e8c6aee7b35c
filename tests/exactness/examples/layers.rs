//! Reports the layers of a bundle by the CPU: `layers BUNDLE INPUT [INSTRUCTIONS]`.
#![forbid(unsafe_code)]

use sanderling_exactness::report::report;
use sanderling_session::{Best, SessionOptions};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (bundle, input) = match &args[..] {
        [bundle, input, ..] => (Path::new(bundle), Path::new(input)),
        _ => {
            eprintln!("usage: layers BUNDLE INPUT [INSTRUCTIONS]");
            return ExitCode::from(2);
        }
    };
    let instructions = match args.get(2).map(|name| Best::by_name(name).ok_or(name)) {
        Some(Err(name)) => {
            let names: Vec<&str> = Best::available().map(Best::name).collect();
            println!(
                "not run: this processor has no {name}; it has {}",
                names.join(", ")
            );
            return ExitCode::SUCCESS;
        }
        Some(Ok(best)) => Some(best),
        None => None,
    };
    let options = SessionOptions {
        instructions,
        ..SessionOptions::default()
    };
    match report(bundle, input, &options) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
