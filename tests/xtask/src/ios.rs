//! What can be checked of targets/ios without a Mac: its C side, its calls, its README's lines.

use crate::everywhere::{Outcome, Sample};
use crate::{Context, StepResult, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Functions of the header that Swift has no use for.
const NOT_CALLED: &[&str] = &["sanderling_abi_version", "sanderling_version"];

/// Checks them.
pub(crate) fn test(cx: &Context) -> StepResult {
    let swift = sources(&cx.root.join("targets/ios/Sources/Sanderling"))?;
    let header = read(&cx.root.join("targets/capi/include/sanderling.h"))?;
    compiles(cx)?;
    calls(&declared(&header), &swift)?;
    constants(&header, &swift)?;
    readme(&read(&cx.root.join("targets/ios/README.md"))?, &swift)?;
    refuses(cx)
}

/// What an iPhone gives: nothing here.
pub(crate) fn layers(_: &Context, _: &Sample) -> Result<Outcome, String> {
    Ok(Outcome::NotRun("needs a Mac; the C side is tested".to_string()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn sources(folder: &Path) -> Result<String, String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let texts = paths
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("\n"))
}

/// The module map and its header, by clang as a module where there is one, else the header alone.
fn compiles(cx: &Context) -> StepResult {
    let folder = cx.target_folder().join("ios-module");
    let io = |error: std::io::Error| format!("cannot fill {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(io)?;
    fs::copy(
        cx.root.join("targets/ios/module.modulemap"),
        folder.join("module.modulemap"),
    )
    .map_err(io)?;
    fs::copy(
        cx.root.join("targets/capi/include/sanderling.h"),
        folder.join("sanderling.h"),
    )
    .map_err(io)?;
    let program = folder.join("use.c");
    let clang = Command::new("clang").arg("--version").output().is_ok();
    let import = if clang {
        "@import CSanderling;"
    } else {
        "#include \"sanderling.h\""
    };
    let text = format!(
        "{import}\nint main(void) {{ return sanderling_abi_version() == SANDERLING_ABI_VERSION; }}\n"
    );
    fs::write(&program, text).map_err(io)?;
    let mut compiler = cx.command(if clang { "clang" } else { "cc" });
    if clang {
        compiler
            .args(["-fmodules", "-fcxx-modules"])
            .arg(format!("-fmodules-cache-path={}", folder.join("cache").display()));
        compiler.arg(format!(
            "-fmodule-map-file={}",
            folder.join("module.modulemap").display()
        ));
    }
    let flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"];
    run(compiler.args(flags).arg(&folder).arg(&program))
}

/// Each function of the header, and how many arguments it takes.
fn declared(header: &str) -> BTreeMap<String, usize> {
    let code: String = header
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let mut found = BTreeMap::new();
    for part in code.split(';') {
        let Some((before, after)) = part.split_once('(') else {
            continue;
        };
        let name = before
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
            .unwrap_or("");
        let arguments = after.split(')').next().unwrap_or("").trim();
        if name.starts_with("sanderling_") {
            found.insert(
                name.to_string(),
                if arguments == "void" {
                    0
                } else {
                    arguments.split(',').count()
                },
            );
        }
    }
    found
}

/// Each call of a C function has as many arguments as its declaration, and each function is called.
fn calls(declared: &BTreeMap<String, usize>, swift: &str) -> StepResult {
    let mut problems = Vec::new();
    let mut called = Vec::new();
    for (at, _) in swift.match_indices("sanderling_") {
        let rest = &swift[at..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let name = &rest[..end];
        let Some(inside) = rest[end..].strip_prefix('(') else {
            continue;
        };
        let given = arguments(inside);
        match declared.get(name) {
            None => problems.push(format!("Swift calls {name}, which the header does not declare")),
            Some(count) if *count != given => {
                problems.push(format!(
                    "Swift gives {name} {given} arguments, the header takes {count}"
                ));
            }
            Some(_) => called.push(name),
        }
    }
    let all = declared
        .keys()
        .filter(|name| !NOT_CALLED.contains(&name.as_str()));
    let uncalled = all.filter(|name| !called.contains(&name.as_str()));
    problems.extend(uncalled.map(|name| format!("Swift never calls {name}")));
    println!("{} calls of {} C functions", called.len(), declared.len());
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Arguments up to the parenthesis that closes them.
fn arguments(inside: &str) -> usize {
    let (mut depth, mut commas, mut any) = (0, 0, false);
    for c in inside.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => commas += 1,
            _ => {}
        }
        any |= !c.is_whitespace();
    }
    if any { commas + 1 } else { 0 }
}

/// Types and constants of C that Swift names are in the header; each status has its kind.
fn constants(header: &str, swift: &str) -> StepResult {
    for prefix in ["Sanderling", "SANDERLING_"] {
        for (at, _) in swift.match_indices(prefix) {
            let word: String = swift[at..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let ours = swift.contains(&format!("struct {word}:"))
                || word == "SanderlingError"
                || word == "Sanderling";
            if !ours && !header.contains(&word) {
                return Err(format!("Swift names {word}, which the header does not have"));
            }
        }
    }
    for line in header
        .lines()
        .filter(|line| line.trim_start().starts_with("SANDERLING_STATUS_"))
    {
        let number = line.trim().trim_end_matches(',').rsplit(' ').next().unwrap_or("");
        let kind = format!(" = {number}\n");
        if number != "0" && !swift.contains(&kind) {
            return Err(format!("SanderlingError.Kind lacks the status {}", line.trim()));
        }
    }
    Ok(())
}

/// What the README's lines call is declared in the sources, with those labels.
fn readme(text: &str, swift: &str) -> StepResult {
    for (line, declared) in [
        ("Session(contentsOf: bundle)", "public init(contentsOf url: URL"),
        ("session.answer(Data(", "public func answer(_ file: Data)"),
        ("answer.label, answer.confidence", "public let confidence: Float"),
        (
            "Updater(state: ",
            "state: URL, hardware: String, enrolment: String? = nil, factory: URL? = nil",
        ),
        (
            "hardware: \"phone\", enrolment: enrolment, factory: bundle)",
            "public final class Updater",
        ),
        (
            "updater.work(transport: URLSessionTransport(for: updater), until: ",
            "public func work(transport: Transport, until: Date, stopped:",
        ),
        (
            "URLSessionTransport(for: updater)",
            "public init(for updater: Updater)",
        ),
        ("updater.answer(Data(", "public func answer(_ file: Data)"),
        ("updater.rest()", "public func rest() throws"),
    ] {
        if !text.contains(line) {
            return Err(format!(
                "targets/ios/README.md lost the line `{line}`: change both"
            ));
        }
        if !swift.contains(declared) {
            return Err(format!(
                "targets/ios/README.md calls `{line}`, but no source declares `{declared}`"
            ));
        }
    }
    let backups = swift.matches("keepOutOfBackups(").count();
    if backups < 3 || !swift.contains("isExcludedFromBackup = true") {
        return Err(
            "the updater no longer keeps its folder and the factory bundle out of backups".to_string(),
        );
    }
    Ok(())
}

/// Where there is no Mac, the script says so and fails.
fn refuses(cx: &Context) -> StepResult {
    if cfg!(target_os = "macos") {
        return Ok(());
    }
    let output = cx.command("targets/ios/xcframework.sh").output();
    let output = output.map_err(|error| format!("xcframework.sh could not be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains("on a Mac") {
        return Err(format!(
            "xcframework.sh should say that it needs a Mac; it says: {said}"
        ));
    }
    Ok(())
}
