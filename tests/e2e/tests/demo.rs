//! README's first command, whole: its exit status is its own verdict, and the verdict is read here once more.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_e2e::{output, sanderling, words};
use std::time::Instant;

#[test]
fn the_demo_tells_its_whole_story() {
    let start = Instant::now();
    let result = output(&mut sanderling(&["demo"]));
    let text = words(&result);
    println!("{text}\nthe demo took {:.1} s", start.elapsed().as_secs_f64());
    assert!(result.status.success(), "the demo failed:\n{text}");
    assert!(!text.contains("  NO  "), "the verdict has a no in it:\n{text}");
    for happened in [
        "killed in the middle of its download",
        "killed in the middle of its activation",
        "got damaged bytes",
        "has its network again",
        "v3 is stopped at its first stage",
        "v4 fails its self-test",
        "answer from v1 again",
        "marked `degraded`",
        "no telemetry is lost or doubled",
    ] {
        assert!(
            happened.split('|').any(|words| text.contains(words)),
            "the story lacks '{happened}':\n{text}"
        );
    }
}
