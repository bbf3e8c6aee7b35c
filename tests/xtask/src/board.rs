//! The Debian packages of targets/jetson: built for two processors, looked over, and run: here, and in QEMU's user mode.
//!
//! A package is unpacked beside the build, so that the developer's machine stays as it is. Where a machine is made for one
//! run (`CI` is set) and this is root, the amd64 package is installed and purged as well.

use crate::everywhere::{self, Outcome, Sample};
use crate::{Context, StepResult, aarch64, install, run};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The tool, and its version.
const CARGO_DEB: &str = "3.8.0";
/// What lintian says that stays so: nobody has an address yet, Debian has no bug to close, and the scripts have systemd read its
/// units again, as debhelper's do.
const LINTIAN_SUPPRESS: &str = "bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs,maintainer-script-calls-systemctl";
/// Points of `systemd-analyze security`, in tenths: more is worse.
const EXPOSURE: &str = "15";
/// Whoever speaks for the unit.
const UNIT: &str = "usr/lib/systemd/system/sanderling-agent.service";

/// A processor's package.
pub(crate) struct Package {
    /// Debian's name of the architecture.
    architecture: &'static str,
    /// Where the package is unpacked.
    root: PathBuf,
    /// The package.
    pub(crate) file: PathBuf,
    /// What runs its programs, if this processor does not.
    emulator: Option<String>,
}

/// Installs cargo-deb, systemd's checks and lintian; a compiler for arm64 comes with the step aarch64.
pub(crate) fn install(cx: &Context) -> StepResult {
    let wanted = [
        ("systemd-analyze", "systemd"),
        ("lintian", "lintian"),
        ("curl", "curl"),
        ("dpkg-deb", "dpkg"),
    ];
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| !install::is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install::debian(&missing)?;
    }
    install::once(&cx.cache().join("cargo-deb.stamp"), CARGO_DEB, || {
        let args = [
            "install",
            "--quiet",
            "--debug",
            "cargo-deb",
            "--version",
            CARGO_DEB,
            "--no-default-features",
            "--features=gzip",
        ];
        run(cx
            .cargo(&args)
            .arg("--root")
            .arg(tool(cx))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", tool(cx).join("target")))
    })
}

fn tool(cx: &Context) -> PathBuf {
    cx.cache().join("cargo-deb")
}

/// Makes both packages, in target/debian.
pub(crate) fn build(cx: &Context) -> Result<Vec<Package>, String> {
    Ok(vec![amd64(cx)?, arm64(cx)?])
}

/// For the processor of most build machines.
fn amd64(cx: &Context) -> Result<Package, String> {
    let build = ["build", "--release", "--quiet", "-p", "sanderling-jetson"];
    run(&mut cx.cargo(&build))?;
    package(cx, "amd64", None)
}

/// For boards.
fn arm64(cx: &Context) -> Result<Package, String> {
    let build = ["build", "--release", "--quiet", "-p", "sanderling-jetson"];
    run(aarch64::TARGET
        .cargo(cx, &build)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", aarch64::LINKER))?;
    package(cx, "arm64", Some(&aarch64::TARGET))
}

/// Packs what was built, and unpacks the package.
fn package(
    cx: &Context,
    architecture: &'static str,
    target: Option<&crate::toolchain::Target>,
) -> Result<Package, String> {
    let folder = cx.root.join("target/debian");
    let root = folder.join(architecture);
    let file = folder.join(format!("sanderling-agent_{architecture}.deb"));
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    if root.exists() {
        fs::remove_dir_all(&root).map_err(problem)?;
    }
    fs::create_dir_all(&root).map_err(problem)?;
    let mut deb = cx.command(tool(cx).join("bin/cargo-deb"));
    deb.args([
        "-q",
        "-p",
        "sanderling-jetson",
        "--no-build",
        "--no-dbgsym",
        "--deb-revision=1",
    ]);
    deb.arg("-o").arg(&file);
    if let Some(target) = target {
        // cargo-deb would take this machine's strip.
        let built = target
            .target_folder(cx)
            .join(target.triple)
            .join("release/sanderling-agent");
        run(Command::new(aarch64::STRIP).arg("--strip-unneeded").arg(built))?;
        deb.args(["--target", target.triple, "--no-strip"]);
        deb.env("CARGO_TARGET_DIR", target.target_folder(cx));
    }
    run(&mut deb)?;
    run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&root))?;
    Ok(Package {
        architecture,
        root,
        file,
        emulator: target.map(|_| format!("{} -L {}", aarch64::EMULATOR, aarch64::SYSROOT)),
    })
}

/// Builds, looks over, and runs both.
pub(crate) fn test(cx: &Context) -> StepResult {
    run(&mut cx.cargo(&["build", "--release", "--quiet"]))?;
    let rows = cx.root.join("target/debian/rows.jsonl");
    let packages = build(cx)?;
    drop(fs::remove_file(&rows));
    for package in &packages {
        println!("{}", package.architecture);
        look_over(package)?;
        let mut tests = cx.cargo(&[
            "test",
            "--release",
            "--quiet",
            "-p",
            "sanderling-e2e",
            "--test=board",
        ]);
        tests.args(["--", "--nocapture", "--test-threads=1"]);
        tests
            .env("SANDERLING_PACKAGE_ROOT", &package.root)
            .env("SANDERLING_ROWS", &rows);
        if let Some(emulator) = &package.emulator {
            tests.env("SANDERLING_EMULATOR", emulator);
        }
        run(&mut tests)?;
        let size = fs::metadata(&package.file).map_or(0, |meta| meta.len());
        println!("{}: {size} bytes", package.file.display());
    }
    match std::env::var_os("CI") {
        Some(_) if install::is_root() => install_and_purge(&packages[0]),
        _ => Ok(()),
    }
}

/// The unit by systemd's own checks, the package by lintian, the scripts by a shell's parser.
fn look_over(package: &Package) -> StepResult {
    let unit = package.root.join(UNIT);
    run(Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(format!("--root={}", package.root.display()))
        .arg("/usr/lib/systemd/system/sanderling-agent.service"))?;
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={EXPOSURE}"))
        .arg(&unit)
        .stdout(std::process::Stdio::null()))?;
    let scripts = package.root.with_extension("control");
    run(Command::new("dpkg-deb")
        .arg("-e")
        .arg(&package.file)
        .arg(&scripts))?;
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(scripts.join(script)))?;
    }
    run(Command::new("lintian")
        .args(["--fail-on=error,warning", "--allow-root", "--no-cfg"])
        .arg(format!("--suppress-tags={LINTIAN_SUPPRESS}"))
        .arg(&package.file))
}

/// On a machine that is thrown away afterwards: user, folder and unit, once more after a removal, and purge.
fn install_and_purge(package: &Package) -> StepResult {
    let dpkg = |action: &str| run(Command::new("dpkg").args([action, "sanderling-agent"]));
    let install = || {
        run(Command::new("dpkg").arg("-i").arg(&package.file))?;
        check_installed()
    };
    let installed = install().and_then(|()| dpkg("--remove")).and_then(|()| install());
    dpkg("--purge")?;
    installed?;
    for left in [
        "/etc/sanderling",
        "/var/lib/sanderling",
        "/run/sanderling",
        "/usr/bin/sanderling-agent",
        ENABLED,
        MASKED,
    ] {
        if fs::symlink_metadata(left).is_ok() {
            return Err(format!("purging the package leaves {left}"));
        }
    }
    match Command::new("getent").args(["passwd", "sanderling"]).status() {
        Ok(status) if status.success() => Err("purging the package leaves its user".to_string()),
        _ => Ok(()),
    }
}

/// Where systemd finds that the unit starts with the machine, and that it never does.
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/sanderling-agent.service";
const MASKED: &str = "/etc/systemd/system/sanderling-agent.service";

/// The unit starts with the machine, the configuration is right, and the daemon's group reads the enrolment string, others do not.
fn check_installed() -> StepResult {
    if fs::symlink_metadata(ENABLED).is_err() || fs::symlink_metadata(MASKED).is_ok() {
        return Err("the installed unit is not enabled".to_string());
    }
    run(Command::new("runuser").args(["-u", "sanderling", "--", "/usr/bin/sanderling-agent", "--check"]))?;
    let output = Command::new("stat")
        .args(["-c", "%U:%G %a", "/etc/sanderling"])
        .output()
        .map_err(|error| error.to_string())?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "root:sanderling 750" => Ok(()),
        other => Err(format!("/etc/sanderling is {other}, not root:sanderling 750")),
    }
}

/// The layers of a sample by the packaged daemon.
pub(crate) fn layers(cx: &Context, sample: &Sample, architecture: &str) -> Result<Outcome, String> {
    let package = match architecture {
        "amd64" => amd64(cx)?,
        _ => arm64(cx)?,
    };
    let program = package.root.join("usr/bin/sanderling-agent");
    let mut command = match &package.emulator {
        Some(emulator) => {
            let mut words = emulator.split(' ');
            let mut command = cx.command(words.next().unwrap_or_default());
            command.args(words).arg(program);
            command
        }
        None => cx.command(program),
    };
    let json = sample.input.with_extension("out.json");
    let file = fs::File::create(&json).map_err(|error| format!("{}: {error}", json.display()))?;
    run(command
        .arg("layers")
        .args([&sample.bundle, &sample.input.with_extension("json")])
        .stdout(file))?;
    let file = fs::File::open(&json).map_err(|error| format!("{}: {error}", json.display()))?;
    let mut outcome = everywhere::report(cx.command(cx.python()).arg("tests/zoo/lines.py").stdin(file))?;
    if let Outcome::Ran(report) = &mut outcome {
        report.size = everywhere::size(&package.file);
    }
    Ok(outcome)
}
