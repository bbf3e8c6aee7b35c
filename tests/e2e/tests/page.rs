//! The server's page in a real browser: a rollout watched from start to end, without a reload.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_e2e::{Running, output, root, sanderling, words};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_rollout_is_watched_in_a_browser() {
    let modules = std::env::var("SANDERLING_NODE_MODULES")
        .unwrap_or_else(|_| root().join(".cache/npm/node_modules").display().to_string());
    assert!(
        std::path::Path::new(&modules).join("playwright-core").is_dir(),
        "playwright-core is missing in {modules}: run `cargo xtask setup`"
    );
    let scratch = tempfile::tempdir().unwrap();
    let pictures = root().join("target/artefacts");
    std::fs::create_dir_all(&pictures).unwrap();
    let folder = scratch.path().to_str().unwrap();
    let mut demo = Running::start(sanderling(&["demo", "--keep", "--folder", folder]).stdout(Stdio::piped()));
    let lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok).inspect(|line| println!("{line}"));
    let url = lines
        .find_map(|line| Some(line.split_once("its page: ")?.1.trim().to_string()))
        .expect("the demo prints its page's address");
    let mut watch = Command::new("node");
    watch
        .arg(root().join("tests/e2e/page/watch.mjs"))
        .args([&url, &format!("{folder}/operator.token")])
        .arg(&pictures);
    let result = output(watch.env("SANDERLING_NODE_MODULES", modules));
    println!("{}", words(&result));
    assert!(
        result.status.success(),
        "what the browser saw is above; pictures are in {}",
        pictures.display()
    );
    assert!(
        lines.any(|line| line.contains("Ctrl-C ends")),
        "the demo did not stay up"
    );
    demo.interrupt();
    let status = demo.0.wait().unwrap();
    assert!(status.success(), "the demo ended with {status}");
}
