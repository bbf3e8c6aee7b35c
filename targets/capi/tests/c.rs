//! The header is what cbindgen makes of the sources; C programs over it do what they should, and leak nothing.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_header_is_that_of_the_sources() {
    let config = cbindgen::Config::from_file(here().join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::Builder::new()
        .with_crate(here())
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut made);
    let file = here().join("include/sanderling.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == String::from_utf8(made).unwrap(),
        "{} is stale: UPDATE_HEADER=1 cargo test -p sanderling-capi",
        file.display()
    );
}

/// Runs a command to its end; its output where that is bad.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let words = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        words[0],
        words[1]
    );
    words[0].clone()
}

/// Folder of the shared library that was built with this test: where the test itself is.
fn library() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let name = format!(
        "{}sanderling{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    assert!(
        folder.join(&name).is_file(),
        "{name} is not in {}",
        folder.display()
    );
    folder
}

fn compile(source: &str, folder: &Path, library: &Path) -> PathBuf {
    let program = folder.join(source.trim_end_matches(".c"));
    run(
        Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-pthread", "-o"])
            .arg(&program)
            .arg(here().join("tests").join(source))
            .arg("-I")
            .arg(here().join("include"))
            .arg("-L")
            .arg(library)
            .arg(format!("-Wl,-rpath,{}", library.display()))
            .args(["-lsanderling", "-lm"]),
    );
    program
}

#[test]
fn c_programs_do_what_they_should_and_leak_nothing() {
    let library = library();
    let folder = tempfile::tempdir().unwrap();
    let bundle = sanderling_support::bundle(sanderling_support::manifest("sides"), "any", Some(0.5));
    let (whole, cut) = (folder.path().join("whole.sdl"), folder.path().join("cut.sdl"));
    std::fs::write(&whole, &bundle).unwrap();
    std::fs::write(&cut, &bundle[..bundle.len() / 2]).unwrap();
    let border = compile("border.c", folder.path(), &library);
    println!("{}", run(Command::new(&border).args([&whole, &cut])));
    let readme = compile("readme.c", folder.path(), &library);
    // Eight bytes of text are the toy's two numbers.
    let answer = run(Command::new(&readme).arg(&whole).arg("aaaabbbb"));
    assert!(
        answer.starts_with("right ") || answer.starts_with("left "),
        "{answer}"
    );
    under_valgrind(|command| command.arg(&border).args([&whole, &cut]));
    let updater = compile("updater.c", folder.path(), &library);
    let enrolment = sanderling_wire::EnrolmentString {
        server: "http://127.0.0.1:1".to_string(),
        token: "nobody listens there".to_string(),
        image_root: sanderling_wire::Digest([1; 32]),
        director_root: sanderling_wire::Digest([2; 32]),
        tls_ca: None,
    };
    // A state folder belongs to one run.
    let arguments = |state: &str| {
        [
            folder.path().join(state).into_os_string(),
            enrolment.to_string().into(),
            whole.clone().into_os_string(),
        ]
    };
    println!("{}", run(Command::new(&updater).args(arguments("state"))));
    under_valgrind(|command| command.arg(&updater).args(arguments("watched")));
}

/// The README's program, compiled as `sanderling.pc` says once it is installed.
#[test]
fn the_template_for_pkg_config_compiles_the_readme() {
    if Command::new("pkg-config").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "pkg-config is not installed");
        eprintln!("passed over: pkg-config is not installed");
        return;
    }
    let prefix = tempfile::tempdir().unwrap();
    let prefix = prefix.path();
    let installed = ["lib/pkgconfig", "include"].map(|name| prefix.join(name));
    for folder in &installed {
        std::fs::create_dir_all(folder).unwrap();
    }
    let name = format!(
        "{}sanderling{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    std::fs::copy(library().join(&name), prefix.join("lib").join(&name)).unwrap();
    let header = installed[1].join("sanderling.h");
    std::fs::copy(here().join("include/sanderling.h"), header).unwrap();
    let template = std::fs::read_to_string(here().join("sanderling.pc.in")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let text = template
        .replace("@PREFIX@", prefix.to_str().unwrap())
        .replace("@VERSION@", version);
    assert!(!text.contains('@'), "{text}");
    std::fs::write(installed[0].join("sanderling.pc"), text).unwrap();
    let ask = |what: &[&str]| {
        let mut command = Command::new("pkg-config");
        command
            .env("PKG_CONFIG_PATH", &installed[0])
            .args(what)
            .arg("sanderling");
        run(&mut command)
    };
    assert_eq!(ask(&["--modversion"]).trim(), version);
    let program = prefix.join("readme");
    run(
        Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .arg(here().join("tests/readme.c"))
            .args(ask(&["--cflags", "--libs"]).split_whitespace())
            .arg(format!("-Wl,-rpath,{}", prefix.join("lib").display()))
            .arg("-o")
            .arg(&program),
    );
    let bundle = sanderling_support::bundle(sanderling_support::manifest("sides"), "any", Some(0.5));
    let whole = prefix.join("whole.sdl");
    std::fs::write(&whole, bundle).unwrap();
    let answer = run(Command::new(&program).arg(&whole).arg("aaaabbbb"));
    assert!(
        answer.starts_with("right ") || answer.starts_with("left "),
        "{answer}"
    );
}

/// Runs a program under valgrind: nothing may leak.
fn under_valgrind(program: impl FnOnce(&mut Command) -> &mut Command) {
    let valgrind = [
        "--quiet",
        "--error-exitcode=9",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
        "--errors-for-leak-kinds=definite,indirect,possible",
    ];
    match Command::new("valgrind").arg("--version").output() {
        Ok(_) => {
            run(program(Command::new("valgrind").args(valgrind)));
        }
        Err(_) if std::env::var_os("CI").is_none() => eprintln!("passed over: valgrind is not installed"),
        Err(error) => panic!("valgrind is not installed ({error}): `cargo xtask setup` installs it"),
    }
}

#[test]
fn the_readme_holds_the_program() {
    let readme = std::fs::read_to_string(here().join("README.md")).unwrap();
    let program = std::fs::read_to_string(here().join("tests/readme.c")).unwrap();
    let lines = program.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert!(
        readme.contains(lines.trim()),
        "README.md does not show tests/readme.c"
    );
}
