//! Lines of code of each target: a binding is thin, and this is how thin.

use crate::Context;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Endings of sources.
const SOURCES: &[&str] = &[
    "rs", "js", "ts", "java", "kt", "swift", "py", "pyi", "c", "h", "cu", "wgsl",
];
/// Folders that hold no code of the binding.
const LEFT_OUT: &[&str] = &["tests", "test", "Tests", "target", "node_modules", "include"];

/// A line for each folder of `targets/`, by name: lines that are neither empty nor comments, tests left out.
pub(crate) fn table(cx: &Context) -> String {
    let mut rows: Vec<(String, usize)> = fs::read_dir(cx.root.join("targets"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                count(&entry.path()),
            )
        })
        .filter(|(_, lines)| *lines > 0)
        .collect();
    rows.sort();
    let mut text = String::from("lines of code of each target, without tests and comments\n");
    for (name, lines) in rows {
        let _ = writeln!(text, "  {name:<12} {lines:>6}");
    }
    text
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                return if LEFT_OUT.contains(&name.as_str()) {
                    0
                } else {
                    count(&path)
                };
            }
            let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
            if !SOURCES.contains(&ending) || name == "tests.rs" {
                return 0;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.lines().filter(|line| is_code(line.trim())).count()
        })
        .sum()
}

/// Neither empty nor a comment, nor the inside of a block comment as it is written here.
fn is_code(line: &str) -> bool {
    let comments = ["//", "/*", "* ", "*/", "#!", "# "];
    !line.is_empty() && line != "*" && !comments.iter().any(|start| line.starts_with(start))
}
