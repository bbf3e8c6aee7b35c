//! The crate graph, and what may come into the build.
#![allow(missing_docs, clippy::unwrap_used)]

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

/// Each crate and what it may use: ARCHITECTURE.md's table. Dependencies for tests alone are free.
const MAY_USE: &[(&str, &[&str])] = &[
    ("flat", &[]),
    ("bundle", &["flat"]),
    ("core", &["bundle", "flat"]),
    ("simd", &[]),
    ("kernels", &["simd"]),
    ("cpu", &["bundle", "core", "kernels"]),
    ("launch", &["core"]),
    ("shaders", &[]),
    ("gpu", &["core", "launch", "shaders"]),
    ("micro", &["flat"]),
    ("embedded", &["flat", "micro"]),
    ("cuda", &["core", "launch"]),
    ("compiler", &["bundle", "core"]),
    ("session", &["bundle", "core", "cpu"]),
    ("support", &["bundle", "core"]),
    ("serve", &["session"]),
    ("wire", &[]),
    ("trust", &["wire"]),
    ("slots", &["wire"]),
    ("agent", &["wire", "trust", "slots"]),
    ("drivers", &["agent", "wire", "trust", "slots"]),
    ("sign", &["trust", "wire"]),
    ("rollout", &["wire"]),
    ("store", &["rollout", "wire"]),
    ("server", &["rollout", "store", "wire", "trust", "sign", "bundle"]),
    ("client", &["server", "wire"]),
    ("heap", &[]),
    (
        "app",
        &["session", "agent", "drivers", "wire", "trust", "slots", "bundle"],
    ),
    ("capi", &["app", "session"]),
    ("python", &["app", "session", "compiler", "core"]),
    ("android", &["app", "session"]),
    (
        "wasm",
        &[
            "session", "bundle", "core", "cpu", "gpu", "launch", "agent", "wire", "trust", "slots",
        ],
    ),
    (
        "jetson",
        &["daemon", "serve", "session", "heap", "wire", "cuda", "launch"],
    ),
    (
        "daemon",
        &[
            "app", "session", "serve", "agent", "drivers", "wire", "trust", "slots", "bundle",
        ],
    ),
];
/// Crates that may use anything: they wire the rest together, or test it.
const FREE: &[&str] = &[
    "cli",
    "cortex-m",
    "demo",
    "tidy",
    "xtask",
    "bench",
    "e2e",
    "conformance",
    "exactness",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn metadata() -> Metadata {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["metadata", "--format-version=1", "--locked"];
    let output = Command::new(cargo)
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Members by short name.
fn members(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    let ours = metadata
        .packages
        .iter()
        .filter(|p| metadata.workspace_members.contains(&p.id));
    ours.map(|p| (p.name.strip_prefix("sanderling-").unwrap_or(&p.name), p))
        .collect()
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let metadata = metadata();
    let mut problems = Vec::new();
    for (name, package) in members(&metadata) {
        if FREE.contains(&name) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| *n == name) else {
            problems.push(format!(
                "{name} is in no row of the table: add it to ARCHITECTURE.md and to MAY_USE"
            ));
            continue;
        };
        let used = package
            .dependencies
            .iter()
            .filter(|d| d.kind.as_deref() != Some("dev"));
        for other in used.filter_map(|d| d.name.strip_prefix("sanderling-")) {
            if !allowed.contains(&other) {
                problems.push(format!("{name} uses {other}, which lies beside or above it"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_table_is_acyclic() {
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    let mut waiting: Vec<_> = MAY_USE.to_vec();
    while !waiting.is_empty() {
        let (ready, rest): (Vec<_>, Vec<_>) = waiting
            .iter()
            .copied()
            .partition(|(_, uses)| uses.iter().all(|other| placed.contains(other)));
        assert!(!ready.is_empty(), "these use each other: {rest:?}");
        placed.extend(ready.iter().map(|(name, _)| *name));
        waiting = rest;
    }
}

#[test]
fn a_crates_folder_is_its_name() {
    let metadata = metadata();
    for (name, package) in members(&metadata) {
        assert_eq!(package.manifest_path.parent().unwrap().file_name().unwrap(), name);
    }
}

/// Crates that a bare-metal target can link: "no" in the column `std` of ARCHITECTURE.md's table.
fn no_std() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = page
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let marked = rows.filter(|cells| cells.get(2) == Some(&"no"));
    let names: BTreeSet<String> = marked
        .filter_map(|cells| cells[1].rsplit('/').next().map(String::from))
        .collect();
    assert!(!names.is_empty(), "ARCHITECTURE.md marks no crate as no_std");
    names
}

#[test]
fn no_std_crates_say_so() {
    let metadata = metadata();
    let members = members(&metadata);
    for name in no_std() {
        let source = members[name.as_str()]
            .manifest_path
            .with_file_name("src")
            .join("lib.rs");
        let text = std::fs::read_to_string(&source).unwrap();
        assert!(text.contains("no_std"), "{} is not no_std", source.display());
    }
}

#[test]
fn no_std_crates_are_built_for_bare_metal() {
    let source = std::fs::read_to_string(root().join("tests/xtask/src/bare.rs")).unwrap();
    let file = syn::parse_file(&source).unwrap();
    let list = file.items.iter().find_map(|item| match item {
        syn::Item::Const(list) if list.ident == "CRATES" => Some(&list.expr),
        _ => None,
    });
    let Some(syn::Expr::Reference(list)) = list.map(Box::as_ref) else {
        panic!("bare.rs has no list CRATES");
    };
    let syn::Expr::Array(list) = list.expr.as_ref() else {
        panic!("CRATES in bare.rs is not an array");
    };
    let built: BTreeSet<String> = list
        .elems
        .iter()
        .map(|name| match name {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(name),
                ..
            }) => name.value(),
            _ => panic!("CRATES in bare.rs holds something that is no name"),
        })
        .collect();
    assert_eq!(
        built,
        no_std(),
        "left: CRATES in tests/xtask/src/bare.rs; right: what ARCHITECTURE.md marks no_std"
    );
}

#[test]
fn the_architecture_names_every_crate() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(
        page.lines().count() <= 150,
        "ARCHITECTURE.md is a map: 150 lines at most"
    );
    for (name, package) in members(&metadata()) {
        let folder = package
            .manifest_path
            .parent()
            .unwrap()
            .strip_prefix(root())
            .unwrap()
            .display()
            .to_string();
        let named =
            page.contains(&format!("| {folder} ")) || (folder.starts_with("tests/") && page.contains(name));
        assert!(named, "ARCHITECTURE.md does not name {folder}");
    }
}

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

#[test]
fn deny_toml_is_kept() {
    let deny: Deny = toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    assert_eq!(
        (
            deny.sources.unknown_registry.as_str(),
            deny.sources.unknown_git.as_str()
        ),
        ("deny", "deny")
    );
    let licensees = |texts: &[String]| -> Vec<spdx::Licensee> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let allowed = licensees(&deny.licenses.allow);
    let mut problems = Vec::new();
    for package in metadata().packages {
        let who = format!("{} {}", package.name, package.version);
        if deny.bans.deny.iter().any(|banned| banned.name == package.name) {
            problems.push(format!("{who} is banned in deny.toml"));
        }
        if package
            .source
            .as_deref()
            .is_some_and(|source| !source.starts_with("registry+"))
        {
            problems.push(format!("{who} does not come from a registry"));
        }
        let excepted = deny
            .licenses
            .exceptions
            .iter()
            .find(|row| row.name == package.name);
        let allowed = excepted.map_or(allowed.clone(), |row| licensees(&row.allow));
        let expression = package.license.as_deref().unwrap_or("");
        let fits = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX)
            .is_ok_and(|e| e.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted))));
        if !fits {
            problems.push(format!(
                "{who} has the licence '{expression}', which deny.toml does not allow"
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
