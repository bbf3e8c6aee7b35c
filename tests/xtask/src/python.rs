//! The Python wheel of targets/python: built, installed into a folder of its own, tested there.

use crate::everywhere::{Outcome, Sample, report, size};
use crate::{Context, StepResult, run};
use std::fs;
use std::path::PathBuf;

/// Builds the wheel for this machine; gives its file.
pub(crate) fn wheel(cx: &Context) -> Result<PathBuf, String> {
    let folder = cx.target_folder().join("python");
    // Wheels of other versions would be found in its place.
    let _ = fs::remove_dir_all(&folder);
    let bin = cx.python().with_file_name("maturin");
    run(cx
        .command(bin)
        .args([
            "build",
            "--release",
            "--quiet",
            "--manifest-path",
            "targets/python/Cargo.toml",
            "--out",
        ])
        .arg(&folder))?;
    let wheels = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut wheels = wheels.filter_map(|entry| Some(entry.ok()?.path()));
    wheels
        .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .ok_or_else(|| format!("maturin left no wheel in {}", folder.display()))
}

/// Builds and installs; gives the wheel, and the folder that it is installed in.
fn installed(cx: &Context) -> Result<(PathBuf, PathBuf), String> {
    let wheel = wheel(cx)?;
    let site = wheel.with_file_name("site");
    run(cx
        .command(cx.python())
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
        .arg(&site)
        .arg(&wheel))?;
    Ok((wheel, site))
}

/// Runs a model for the table of `cargo xtask everywhere`.
pub(crate) fn layers(cx: &Context, sample: &Sample) -> Result<Outcome, String> {
    let (wheel, site) = installed(cx)?;
    let mut python = cx.command(cx.python());
    python
        .arg("targets/python/tests/layers.py")
        .args([&sample.bundle, &sample.input]);
    let mut outcome = report(python.env("PYTHONPATH", &site))?;
    if let Outcome::Ran(report) = &mut outcome {
        report.size = size(&wheel);
    }
    Ok(outcome)
}

/// Builds, installs, and runs pytest over real models.
pub(crate) fn test(cx: &Context) -> StepResult {
    let (_, site) = installed(cx)?;
    run(cx
        .command(cx.python())
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "targets/python"])
        .env("PYTHONPATH", &site)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SANDERLING_CLI", cx.native()?))
}
