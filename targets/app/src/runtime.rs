//! What a build can run, as devices tell their fleet.

use sanderling_bundle::FORMAT_MAJOR;
use sanderling_session::{NUMERICS, RUNTIME_VERSION, operators};
use sanderling_wire::RuntimeInfo;

/// What this build can run, with a limit on a model's memory in bytes (0: not stated).
#[must_use]
pub fn runtime_info(memory_limit: u64) -> RuntimeInfo {
    RuntimeInfo {
        version: (
            RUNTIME_VERSION.major,
            RUNTIME_VERSION.minor,
            RUNTIME_VERSION.patch,
        ),
        // Small: versions are counted by hand.
        numerics: NUMERICS as u16,
        bundle_format: FORMAT_MAJOR,
        operators: operators(),
        memory_limit,
    }
}
