//! `agent.toml`, and the enrolment string.
//!
//! The string is a secret until it is used. It comes from systemd's credential `sanderling.enrolment`, or from the
//! file that `agent.toml` names, which root writes (`sanderling-agent enrol`) and the daemon's group may read.

use anyhow::{Context, bail};
use sanderling_daemon::{DaemonOptions, Sessions, Settings, settings};
use sanderling_wire::EnrolmentString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Most bytes of a configuration.
const MAX_CONFIG: u64 = 1 << 20;
/// Name of the credential.
const CREDENTIAL: &str = "sanderling.enrolment";

/// Reads a configuration. What is wrong is told with its line.
pub(crate) fn read(path: &Path) -> anyhow::Result<Settings> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// What the daemon takes. A credential goes before the file.
pub(crate) fn options(settings: Settings, sessions: Sessions) -> anyhow::Result<DaemonOptions> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|folder| Path::new(&folder).join(CREDENTIAL))
        .filter(|file| file.exists());
    let enrolment = credential.as_deref().map(of_credential).transpose()?;
    Ok(settings.options(enrolment, sessions)?)
}

fn of_credential(file: &Path) -> anyhow::Result<EnrolmentString> {
    let context = || format!("the credential {CREDENTIAL}");
    let text = settings::read_secret(file).with_context(context)?;
    text.parse::<EnrolmentString>()
        .map_err(anyhow::Error::msg)
        .with_context(context)
}

/// Writes standard input's string to the file of the configuration, for root and the folder's group alone.
pub(crate) fn enrol(config: &Path) -> anyhow::Result<()> {
    let Some(path) = read(config)?.enrolment_file else {
        bail!(
            "{}: set enrolment_file, so that there is a place for the string",
            config.display()
        );
    };
    let mut text = String::new();
    std::io::stdin().take(MAX_CONFIG).read_to_string(&mut text)?;
    let string: EnrolmentString = text
        .trim()
        .parse()
        .map_err(anyhow::Error::msg)
        .context("standard input: give the string that `sanderling device enrol` printed")?;
    keep(&path, &string).with_context(|| format!("cannot write {}", path.display()))?;
    println!(
        "kept in {}; now: systemctl restart sanderling-agent",
        path.display()
    );
    Ok(())
}

/// In one step: a power cut leaves the old file or the new one.
fn keep(path: &Path, string: &EnrolmentString) -> std::io::Result<()> {
    let beside = PathBuf::from(format!("{}.new", path.display()));
    drop(fs::remove_file(&beside));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    writeln!(file, "{string}")?;
    // The package gives the folder to the daemon's group.
    let folder = path.parent().unwrap_or(Path::new("."));
    let group = fs::metadata(folder)?.gid();
    fchown(&file, None, Some(group))?;
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        fs::write(&path, text).unwrap();
        let read = read(&path).and_then(|settings| options(settings, Sessions::default()));
        format!("{:#}", read.err().unwrap())
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_place() {
        let unknown = problem("backend = \"cpu\"\n\n[inference]\nsoket = \"/run/x\"\n");
        assert!(
            unknown.contains("line 4") && unknown.contains("soket"),
            "{unknown}"
        );
        assert!(problem("threads = \"many\"\n").contains("line 1"));
        assert!(problem("hardware = \"A B\"\n").contains("hardware id"));
        assert!(problem("[inference]\nhttp = \"0.0.0.0:80\"\n").contains("inference.http"));
        let threshold = problem("[cascade]\nurl = \"https://x\"\nthreshold = 2.0\n");
        assert!(threshold.contains("cascade.threshold"), "{threshold}");
    }

    #[test]
    fn the_packages_file_holds_every_default() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("debian/agent.toml");
        let text = fs::read_to_string(&shipped).unwrap();
        read(&shipped).unwrap();
        // With what it comments out, it is a configuration as well: every key is there and is right.
        let all: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let settings: Settings = toml::from_str(&all).unwrap();
        assert!(
            settings.cascade.is_some() && settings.inference.http.is_some(),
            "{all}"
        );
        // What is not marked as an example is the default. A mark is in the comment above a key, or above a section.
        let (mut example, mut section, mut defaults) = (false, false, String::new());
        for line in text.lines() {
            match line.strip_prefix('#') {
                Some(words) if words.starts_with(' ') => {
                    example |= words.contains("(example");
                    continue;
                }
                Some(head) if head.starts_with('[') => section = example,
                Some(key) if !(example || section) => defaults.extend([key, "\n"]),
                None if line.starts_with('[') => {
                    defaults.extend([line, "\n"]);
                    section = false;
                }
                _ => {}
            }
            example = false;
        }
        let mut shown: Settings = toml::from_str(&defaults).unwrap();
        let meant = options(Settings::default(), Sessions::default()).unwrap().agent;
        assert_eq!(shown.update.trial_seconds.take(), Some(meant.trial.min_seconds));
        assert_eq!(
            shown.update.daily_budget_bytes.take(),
            Some(meant.network.daily_budget)
        );
        assert_eq!(
            format!("{shown:?}"),
            format!("{:?}", Settings::default()),
            "{defaults}"
        );
        let keys = format!("{:?}", Settings::default());
        let names = keys
            .split([' ', '{', '('])
            .filter_map(|word| word.strip_suffix(':'));
        for name in names {
            assert!(
                all.contains(name),
                "{} does not explain {name}",
                shipped.display()
            );
        }
    }

    #[test]
    fn a_string_that_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enrolment");
        let string = EnrolmentString {
            server: "https://fleet.example".into(),
            token: "t".into(),
            image_root: sanderling_wire::Digest([1; 32]),
            director_root: sanderling_wire::Digest([2; 32]),
            tls_ca: None,
        };
        keep(&path, &string).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(settings::read_enrolment(&path).unwrap(), string);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = settings::read_enrolment(&path).unwrap_err().to_string();
        assert!(error.contains("chmod"), "{error}");
    }
}
