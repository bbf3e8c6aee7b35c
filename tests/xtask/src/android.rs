//! The Java library of targets/android: tested on this machine's JVM, checked for Android, packed as an AAR where there is an NDK.

use crate::everywhere::{Outcome, Sample, report, size};
use crate::toolchain::Target;
use crate::{Context, StepResult, install, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// 64-bit phones: what is checked without an NDK.
const CHECKED: Target = Target {
    triple: "aarch64-linux-android",
    std: "std,panic_unwind",
};
/// What the AAR holds: Rust's target, Android's name for it, the NDK's compiler.
const ABIS: &[(&str, &str, &str)] = &[
    (
        "aarch64-linux-android",
        "arm64-v8a",
        "aarch64-linux-android24-clang",
    ),
    (
        "armv7-linux-androideabi",
        "armeabi-v7a",
        "armv7a-linux-androideabi24-clang",
    ),
    ("x86_64-linux-android", "x86_64", "x86_64-linux-android24-clang"),
];
/// What `-Xcheck:jni` says where the border is crossed wrongly.
const COMPLAINTS: &[&str] = &[
    "WARNING in native method",
    "FATAL ERROR in native method",
    "WARNING: JNI local refs",
];

/// Installs a JDK, Maven, and the compiler for Android.
pub(crate) fn install() -> StepResult {
    let missing: Vec<&str> = [("javac", "default-jdk-headless"), ("mvn", "maven")]
        .iter()
        .filter(|(program, _)| !install::is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        install::debian(&missing)?;
    }
    CHECKED.install()
}

fn maven(cx: &Context) -> Command {
    let mut maven = cx.command("mvn");
    maven
        .args(["-q", "-B", "-f", "targets/android/java/pom.xml"])
        .arg(format!("-Dsanderling.build={}", folder(cx).display()));
    maven
}

fn folder(cx: &Context) -> PathBuf {
    cx.target_folder().join("android")
}

/// JUnit over the real library, with `-Xcheck:jni` and a fleet server; then the crate's check for Android.
pub(crate) fn test(cx: &Context) -> StepResult {
    run(&mut cx.cargo(&["build", "--release", "--quiet", "-p", "sanderling-android"]))?;
    let native = cx.target_folder().join("release");
    let mut maven = maven(cx);
    maven
        .arg(format!("-Dsanderling.native={}", native.display()))
        .arg(format!("-Dsanderling.cli={}", cx.native()?.display()))
        .arg(format!("-Dsanderling.zoo={}", cx.zoo().display()))
        .arg("verify")
        .stderr(Stdio::inherit());
    println!("$ {maven:?}");
    let output = maven
        .output()
        .map_err(|error| format!("mvn could not be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    if !output.status.success() {
        return Err(format!("mvn ended with {}", output.status));
    }
    if let Some(complaint) = COMPLAINTS.iter().find(|words| said.contains(**words)) {
        return Err(format!("-Xcheck:jni complained, see \"{complaint}\" above"));
    }
    let check = ["check", "--quiet", "-p", "sanderling-android"];
    run(&mut CHECKED.cargo(cx, &check))
}

/// Runs a model on this machine's JVM for the table of `cargo xtask everywhere`.
pub(crate) fn layers(cx: &Context, sample: &Sample) -> Result<Outcome, String> {
    run(&mut cx.cargo(&["build", "--release", "--quiet", "-p", "sanderling-android"]))?;
    run(maven(cx).arg("test-compile"))?;
    let native = cx.target_folder().join("release");
    let classes = ["classes", "test-classes"].map(|name| folder(cx).join(name));
    let classes = std::env::join_paths(classes).map_err(|error| error.to_string())?;
    let mut java = cx.command("java");
    java.arg(format!("-Djava.library.path={}", native.display()))
        // What the tests' support reads; not used here.
        .args(["-Dsanderling.root=.", "-Dsanderling.zoo=."])
        .arg("-cp")
        .arg(classes)
        .arg("dev.sanderling.LayersReport")
        .args([&sample.bundle, &sample.input]);
    let mut outcome = report(&mut java)?;
    if let Outcome::Ran(report) = &mut outcome {
        report.size = size(&native.join("libsanderling_android.so"));
    }
    Ok(outcome)
}

/// What a phone with Android gives: nothing here.
pub(crate) fn on_a_phone(_: &Context, _: &Sample) -> Result<Outcome, String> {
    let (_, missing) = missing();
    let lacks = if missing.is_empty() {
        "no phone".to_string()
    } else {
        missing[0].clone()
    };
    Ok(Outcome::NotRun(lacks))
}

/// Makes the AAR, or says exactly what is missing.
pub(crate) fn aar(cx: &Context) -> StepResult {
    let (tools, missing) = missing();
    if !missing.is_empty() {
        return Err(format!("the AAR needs:\n  {}", missing.join("\n  ")));
    }
    let stage = folder(cx).join("aar");
    let io = |error: std::io::Error| format!("cannot fill {}: {error}", stage.display());
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(io)?;
    }
    copy(&cx.root.join("targets/android/aar"), &stage).map_err(io)?;
    for (triple, abi, compiler) in ABIS {
        let variable = triple.to_uppercase().replace('-', "_");
        let linker = tools.join(compiler);
        // Devices with pages of 16 kB load nothing else; those with 4 kB load it, too.
        let flags = "-Clink-arg=-Wl,-z,max-page-size=16384";
        run(cx
            .cargo(&[
                "build",
                "--release",
                "--quiet",
                "-p",
                "sanderling-android",
                "--target",
                triple,
            ])
            .env(format!("CARGO_TARGET_{variable}_LINKER"), &linker)
            .env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), flags))?;
        let built = cx
            .target_folder()
            .join(triple)
            .join("release/libsanderling_android.so");
        let jni = stage.join("jni").join(abi);
        fs::create_dir_all(&jni).map_err(io)?;
        fs::copy(built, jni.join("libsanderling_android.so")).map_err(io)?;
    }
    run(maven(cx).args(["-DskipTests", "package"]))?;
    let jar = folder(cx).join(concat!("sanderling-", env!("CARGO_PKG_VERSION"), ".jar"));
    fs::copy(jar, stage.join("classes.jar")).map_err(io)?;
    // The resources that others may refer to; their numbers come when an app is linked.
    let names = ["sanderling_backup_rules", "sanderling_data_extraction_rules"];
    fs::write(
        stage.join("R.txt"),
        names.map(|name| format!("int xml {name} 0x0\n")).concat(),
    )
    .map_err(io)?;
    let file = folder(cx).join("sanderling.aar");
    run(cx
        .command("jar")
        .args(["--create", "--no-manifest", "--file"])
        .arg(&file)
        .arg("-C")
        .arg(&stage)
        .arg("."))?;
    println!("the library is {}", file.display());
    Ok(())
}

/// The NDK's programs, and what is not there of all that the AAR needs.
fn missing() -> (PathBuf, Vec<String>) {
    let mut missing = Vec::new();
    let ndk = std::env::var_os("ANDROID_NDK_HOME").map(PathBuf::from);
    let host = if cfg!(target_os = "macos") {
        "darwin-x86_64"
    } else {
        "linux-x86_64"
    };
    let tools = ndk
        .unwrap_or_default()
        .join("toolchains/llvm/prebuilt")
        .join(host)
        .join("bin");
    match std::env::var_os("ANDROID_NDK_HOME") {
        None => missing.push("an Android NDK (r26 or later): set ANDROID_NDK_HOME to its folder".to_string()),
        Some(_) => {
            let compilers = ABIS.iter().map(|(_, _, compiler)| tools.join(compiler));
            let absent = compilers.filter(|compiler| !compiler.is_file());
            missing.extend(absent.map(|compiler| format!("the NDK's compiler {}", compiler.display())));
        }
    }
    for (triple, _, _) in ABIS {
        if !(Target { triple, std: "std" }).is_installed() {
            missing.push(format!(
                "Rust's standard library for it: rustup target add {triple}"
            ));
        }
    }
    for program in ["mvn", "jar"] {
        if !install::is_there(program) {
            missing.push(format!("the program {program} (a JDK and Maven)"));
        }
    }
    (tools, missing)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    /// The jar is named by Maven, and looked for by the workspace's version.
    #[test]
    fn maven_has_the_version_of_the_workspace() {
        let pom = include_str!("../../../targets/android/java/pom.xml");
        let version = pom
            .split("<version>")
            .nth(1)
            .and_then(|rest| rest.split('<').next());
        assert_eq!(version, Some(env!("CARGO_PKG_VERSION")));
    }
}
