//! What the sources must and must not hold.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::visit::Visit;

/// Crates that may hold `unsafe`; all others forbid it.
const UNSAFE: &[&str] = &[
    "runtime/simd",
    "runtime/kernels",
    "runtime/cuda",
    // Java's border: handles and direct buffers.
    "targets/android",
    // One `Send`: a session that moves between threads behind a lock.
    "targets/app",
    "targets/capi",
    "targets/heap",
    // Board code: it looks at its own stack.
    "examples/cortex-m",
];
/// Longest function, in lines.
const FUNCTION_LINES: usize = 70;
/// Longest file, in lines without its tests.
const FILE_LINES: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Files below a folder whose names end in `.suffix`, without build outputs and downloads.
fn files(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") && name != "node_modules" {
                files(&path, suffix, found);
            }
        } else if path.extension().is_some_and(|end| end == suffix) {
            found.push(path);
        }
    }
}

fn rust_files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in [
        "runtime",
        "updater",
        "fleet-server",
        "targets",
        "examples",
        "tests",
    ] {
        files(&root().join(folder), "rs", &mut found);
    }
    let short = |path: &PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    found
        .iter()
        .map(|path| (short(path), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Code that ships: not tests, benchmarks or examples of a crate.
fn ships(path: &str) -> bool {
    let test_part = ["/tests/", "/benches/", "/examples/"]
        .iter()
        .any(|part| path.contains(part));
    !test_part && !path.starts_with("tests/") && !path.ends_with("/tests.rs")
}

fn report(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problem(s):\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[test]
fn crates_forbid_unsafe_code() {
    let mut problems = Vec::new();
    for (path, text) in rust_files() {
        let top = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        if top
            && !UNSAFE.iter().any(|name| path.starts_with(name))
            && !text.contains("#![forbid(unsafe_code)]")
        {
            problems.push(format!("{path} does not forbid unsafe code"));
        }
    }
    report(&problems);
}

struct Functions<'a> {
    path: &'a str,
    problems: Vec<String>,
}

impl Functions<'_> {
    fn check(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line + 1;
        if lines > FUNCTION_LINES {
            self.problems
                .push(format!("{}: fn {name} has {lines} lines", self.path));
        }
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| matches!(&a.meta, syn::Meta::List(list) if a.path().is_ident("cfg") && list.tokens.to_string().contains("test")))
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn functions_and_files_stay_short() {
    let mut problems = Vec::new();
    for (path, text) in rust_files().iter().filter(|(path, _)| ships(path)) {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut functions = Functions {
            path,
            problems: Vec::new(),
        };
        functions.visit_file(&parsed);
        problems.append(&mut functions.problems);
        let tests: usize = parsed
            .items
            .iter()
            .filter_map(|item| match item {
                syn::Item::Mod(module) if is_test_only(&module.attrs) => Some(module.span()),
                _ => None,
            })
            .map(|span| span.end().line - span.start().line + 1)
            .sum();
        let lines = text.lines().count() - tests;
        if lines > FILE_LINES {
            problems.push(format!("{path} has {lines} lines without its tests"));
        }
    }
    report(&problems);
}

#[test]
fn every_file_opens_with_what_it_is() {
    let opens = |text: &str| text.trim_start().starts_with("//!");
    let shipped = rust_files();
    let problems: Vec<String> = shipped
        .iter()
        .filter(|(path, text)| ships(path) && !opens(text))
        .map(|(path, _)| format!("{path} has no module doc"))
        .collect();
    report(&problems);
}

/// Words that mark a place where work was left; spelt apart so that this file does not hold them.
#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["X", "XX:"],
        ["unimplemented", "!("],
        ["todo", "!("],
    ]
    .map(|parts| parts.concat());
    let mut problems = Vec::new();
    for (path, text) in rust_files() {
        for (line, words) in text.lines().enumerate() {
            if marks.iter().any(|mark| words.contains(mark.as_str())) {
                problems.push(format!("{path}:{}: {}", line + 1, words.trim()));
            }
        }
    }
    report(&problems);
}

/// A test may be left out of the run only where another test of the same file runs it, in a process of its own.
#[test]
fn tests_are_not_switched_off() {
    let off = |text: &str| text.contains(concat!("#[", "ignore")) && !text.contains("--ignored");
    let files = rust_files();
    let problems: Vec<String> = files
        .iter()
        .filter(|(_, text)| off(text))
        .map(|(path, _)| path.clone())
        .collect();
    report(&problems);
}

#[test]
fn pages_link_to_files_that_exist() {
    let mut pages = Vec::new();
    files(&root(), "md", &mut pages);
    let mut problems = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            let local = !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:");
            if local && !page.parent().unwrap().join(file).exists() {
                problems.push(format!(
                    "{} links to {target}",
                    page.strip_prefix(root()).unwrap().display()
                ));
            }
        }
    }
    report(&problems);
}
