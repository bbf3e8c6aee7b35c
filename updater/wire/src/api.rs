//! Paths, limits and media types of the device's HTTP API.
//!
//! Requests carry an Ed25519 signature by the device's key (RFC 9421) over method, path, content digest, a
//! nonce and the time; `sanderling-trust` builds and checks it. Bodies are [`crate::envelope`] bytes.

/// `POST`: an [`crate::EnrolRequest`], answered by an [`crate::EnrolReply`].
pub const ENROL: &str = "/v1/device/enrol";
/// `POST`: a [`crate::CheckIn`], answered by a [`crate::CheckInReply`].
pub const CHECK_IN: &str = "/v1/device/checkin";
/// `GET`: the image repository's metadata, by TUF's consistent-snapshot names: `{TUF_IMAGE}2.root.json`.
pub const TUF_IMAGE: &str = "/v1/tuf/image/";
/// `GET`: the director's root metadata: `{TUF_DIRECTOR}2.root.json`.
pub const TUF_DIRECTOR: &str = "/v1/tuf/director/";
/// `GET` (with `Range`): a bundle by the SHA-256 of its bytes: `{IMAGES}<64 hexadecimal digits>.sdl`.
pub const IMAGES: &str = "/v1/images/";

/// Header of an answer with status 410, which says that the device was decommissioned: when, in Unix seconds.
pub const DECOMMISSIONED_AT: &str = "decommissioned-at";

/// Media type of envelope bytes.
pub const CONTENT_TYPE: &str = "application/vnd.sanderling.wire";
/// Most bytes of a request or reply body that is a message. A server answers 413 above, a device gives up.
pub const MAX_MESSAGE_LEN: usize = 256 * 1024;
/// Most telemetry records in one check-in; the rest waits for the next.
pub const MAX_RECORDS: usize = 256;
/// How far a request's time may be from the server's, in seconds, before it is refused as stale.
pub const SIGNATURE_WINDOW_S: u64 = 300;
