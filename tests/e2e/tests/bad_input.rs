//! Bad input: a clear error that names what is wrong and what to do, exit status 1, and no panic.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_e2e::{output, root, sanderling, words};
use std::path::{Path, PathBuf};

/// A run that must fail with all of `expected` in what it prints, and without a panic.
fn check(args: &[&str], expected: &[&str]) {
    let result = output(&mut sanderling(args));
    let text = words(&result);
    assert_eq!(
        result.status.code(),
        Some(1),
        "sanderling {args:?} should fail with status 1:\n{text}"
    );
    assert!(
        !text.contains("panicked"),
        "sanderling {args:?} panicked:\n{text}"
    );
    for word in expected {
        assert!(
            text.contains(word),
            "sanderling {args:?} does not say '{word}':\n{text}"
        );
    }
}

fn model() -> PathBuf {
    root().join("examples/magika/model.onnx")
}

fn pack(folder: &Path) -> PathBuf {
    let bundle = folder.join("model.sdl");
    let result = output(&mut sanderling(&["pack", path(&model()), "--out", path(&bundle)]));
    assert!(result.status.success(), "{}", words(&result));
    bundle
}

fn path(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let file = folder.join(name);
    std::fs::write(&file, bytes).expect("the scratch folder takes files");
    path(&file).to_string()
}

#[test]
fn files_that_are_not_models() {
    let scratch = tempfile::tempdir().unwrap();
    let html = write(
        scratch.path(),
        "model.onnx",
        b"<!DOCTYPE html><html><body>404</body></html>",
    );
    check(&["pack", &html, "--out", "/dev/null"], &["model.onnx", "HTML"]);
    let zip = write(scratch.path(), "zip.onnx", b"PK\x03\x04 and so on");
    check(&["inspect", &zip], &["zip.onnx", "zip"]);
    let empty = write(scratch.path(), "empty.onnx", b"");
    check(&["run", &empty, "--random"], &["empty.onnx"]);
    check(&["inspect", "/no/such/file.sdl"], &["/no/such/file.sdl"]);
    let onnx = std::fs::read(model()).unwrap();
    let cut = write(scratch.path(), "cut.onnx", &onnx[..onnx.len() / 2]);
    check(&["pack", &cut, "--out", "/dev/null"], &["cut.onnx"]);
}

#[test]
fn damaged_bundles() {
    let scratch = tempfile::tempdir().unwrap();
    let good = std::fs::read(pack(scratch.path())).unwrap();
    let cut = write(scratch.path(), "cut.sdl", &good[..good.len() - 100]);
    check(&["verify", &cut], &["cut.sdl"]);
    let long = write(scratch.path(), "long.sdl", &[good.as_slice(), b"more"].concat());
    check(&["verify", &long], &["long.sdl"]);
    let mut version = good.clone();
    version[8] = 0x7f;
    let version = write(scratch.path(), "version.sdl", &version);
    check(&["verify", &version], &["version.sdl", "version"]);
    for at in [12, 70, 300, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        let name = format!("flipped-{at}.sdl");
        let file = write(scratch.path(), &name, &flipped);
        check(&["verify", &file], &[&name]);
        check(&["run", &file, "--random"], &[&name]);
    }
}

#[test]
fn addresses() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let scratch = tempfile::tempdir().unwrap();
    let bundle = pack(scratch.path());
    check(
        &["serve", path(&bundle), "--listen", &address],
        &[&address, "--listen"],
    );
    check(
        &["serve", path(&bundle), "--listen", "0.0.0.0:0"],
        &["0.0.0.0", "token"],
    );
}

#[test]
fn keys_are_never_overwritten() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = path(scratch.path());
    assert!(
        output(&mut sanderling(&["keys", "init", folder]))
            .status
            .success()
    );
    check(&["keys", "init", folder], &["is there already"]);
    let pinned = "00".repeat(32);
    let image = scratch.path().join("image");
    check(&["verify", path(&image), "--root", &pinned], &["1.root.json"]);
}
