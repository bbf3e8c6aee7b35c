//! HTTP message signatures (RFC 9421) in one fixed profile, by the device's Ed25519 key.
//!
//! Each request of a device is signed over method, path, query (where there is one) and the digest of the body
//! (RFC 9530), with the time, a nonce and the key's name:
//!
//! ```text
//! Content-Digest: sha-256=:…:
//! Signature-Input: sig=("@method" "@path" "content-digest");created=1795356208;nonce="…";keyid="…";alg="ed25519";tag="sanderling"
//! Signature: sig=:…:
//! ```
//!
//! A profile, because what a signature leaves out can be changed: a request that covers less, or other
//! components, is refused, whatever its signature. `keyid` is the device's id, which is the hash of its public
//! key, so a device cannot sign under another's name. Whether the time is near and the nonce is new is for the
//! server to say, which has a clock and a memory: [`Proof::check_time`] helps with the first.

use crate::key::{PublicKey, SignError, Signer};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sanderling_wire::DeviceId;
use sha2::{Digest as _, Sha256};

/// The `tag` parameter: a signature made for another application does not count here.
pub const TAG: &str = "sanderling";
/// The label in `Signature-Input` and `Signature`.
const LABEL: &str = "sig";
/// Longest header value that is read.
const MAX_HEADER_LEN: usize = 1024;

/// Why a request's signature does not hold. All but [`HttpSigError::Stale`] answer 401 without more words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpSigError {
    /// A header that is missing, too long or not of this profile's form.
    #[error("the header {header} {reason}")]
    Header {
        /// The header's name.
        header: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A method, path or query with blanks, control characters or bytes beyond ASCII: no HTTP request line has
    /// them, and in the signed text they could pass for other lines.
    #[error("the {part} holds characters that a request line cannot have; percent-encode them")]
    RequestLine {
        /// `method`, `path` or `query`.
        part: &'static str,
    },
    /// The body is not the one that was signed.
    #[error("the body does not have the digest that the request states")]
    Body,
    /// The key's id is not the one the request names.
    #[error("the request is signed in the name of {stated}, the key at hand is {found}'s")]
    OtherKey {
        /// Named in the request.
        stated: DeviceId,
        /// The key's.
        found: DeviceId,
    },
    /// The signature is not this key's over this request.
    #[error("the signature does not fit the request")]
    Signature,
    /// Made too long ago, or too far in the future.
    #[error("the request was signed {skew} s {} the server's clock, {window} s are allowed: set the device's clock", if *.ahead { "ahead of" } else { "behind" })]
    Stale {
        /// Seconds between the two clocks.
        skew: u64,
        /// Whether the device's is ahead.
        ahead: bool,
        /// Seconds allowed.
        window: u64,
    },
}

/// The parts of a request that are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// In capitals, as sent: `POST`.
    pub method: &'a str,
    /// The path of the URL, percent-encoded as sent: `/v1/device/checkin`.
    pub path: &'a str,
    /// What follows the `?`, as sent, without it. An empty query and none are two different things.
    pub query: Option<&'a str>,
    /// The whole body; empty where there is none.
    pub body: &'a [u8],
}

/// The three headers that carry a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Value of `Content-Digest`.
    pub content_digest: String,
    /// Value of `Signature-Input`.
    pub signature_input: String,
    /// Value of `Signature`.
    pub signature: String,
}

impl SignatureHeaders {
    /// Names (in lower case) and values, for an HTTP client.
    #[must_use]
    pub fn entries(&self) -> [(&'static str, &str); 3] {
        [
            ("content-digest", &self.content_digest),
            ("signature-input", &self.signature_input),
            ("signature", &self.signature),
        ]
    }
}

/// Signs a request in the name of the device whose key `signer` holds.
///
/// `created` is the device's clock in Unix seconds, `nonce` 16 bytes that never come again.
///
/// # Errors
/// [`SignError`] from the signer, or if its key is not Ed25519.
pub fn sign_request(
    signer: &dyn Signer,
    request: &Request<'_>,
    created: u64,
    nonce: &[u8; 16],
) -> Result<SignatureHeaders, SignError> {
    let key = signer.public_key();
    let device = device_of(key).ok_or_else(|| SignError {
        key: key.id().to_string(),
        reason: "requests are signed by Ed25519 keys only".to_owned(),
    })?;
    let plain = check_plain(request).map_err(|error| SignError {
        key: key.id().to_string(),
        reason: error.to_string(),
    });
    plain?;
    let components = components(request);
    let nonce = BASE64.encode(nonce);
    let params = format!(
        "({components});created={created};nonce=\"{nonce}\";keyid=\"{device}\";alg=\"ed25519\";tag=\"{TAG}\""
    );
    let content_digest = content_digest(request.body);
    let signature = signer.sign(&signature_base(request, &content_digest, &params))?;
    Ok(SignatureHeaders {
        content_digest,
        signature_input: format!("{LABEL}={params}"),
        signature: format!("{LABEL}=:{}:", BASE64.encode(signature.0)),
    })
}

/// A request's headers, read but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    content_digest: String,
    params: String,
    components: String,
    signature: Vec<u8>,
    created: u64,
    nonce: String,
    device: DeviceId,
}

/// What a verified signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// The device that signed.
    pub device: DeviceId,
    /// When, by the device's clock, in Unix seconds.
    pub created: u64,
    /// What must never come again from this device within the window.
    pub nonce: String,
}

impl Unverified {
    /// Reads the headers' values.
    ///
    /// # Errors
    /// [`HttpSigError::Header`].
    pub fn parse(content_digest: &str, signature_input: &str, signature: &str) -> Result<Self, HttpSigError> {
        let header = |header, reason| HttpSigError::Header { header, reason };
        for (name, value) in [
            ("Content-Digest", content_digest),
            ("Signature-Input", signature_input),
            ("Signature", signature),
        ] {
            if value.len() > MAX_HEADER_LEN {
                return Err(header(name, "is too long"));
            }
        }
        let malformed = |reason| header("Signature-Input", reason);
        let params = strip_label(signature_input).ok_or_else(|| malformed("has not the one label `sig`"))?;
        let inner = params.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (components, rest) = inner.ok_or_else(|| malformed("has no list of components"))?;
        let parsed = Params::parse(rest).ok_or_else(|| malformed("has parameters outside the profile"))?;
        let signature = strip_label(signature)
            .and_then(|value| value.strip_prefix(':')?.strip_suffix(':'))
            .and_then(|value| BASE64.decode(value).ok())
            .ok_or_else(|| header("Signature", "is not `sig=:base64:`"))?;
        Ok(Self {
            content_digest: content_digest.to_owned(),
            params: params.to_owned(),
            components: components.to_owned(),
            signature,
            created: parsed.created,
            nonce: parsed.nonce.to_owned(),
            device: parsed.device,
        })
    }

    /// The device in whose name the request claims to be signed: look up its key.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Checks the request against the device's key.
    ///
    /// # Errors
    /// [`HttpSigError`], but never [`HttpSigError::Stale`]: see [`Proof::check_time`].
    pub fn verify(&self, key: &PublicKey, request: &Request<'_>) -> Result<Proof, HttpSigError> {
        let found = device_of(key).ok_or(HttpSigError::Signature)?;
        if found != self.device {
            return Err(HttpSigError::OtherKey {
                stated: self.device,
                found,
            });
        }
        check_plain(request)?;
        if self.components != components(request) {
            let reason =
                "does not cover exactly method, path, query (if any) and content digest, in this order";
            return Err(HttpSigError::Header {
                header: "Signature-Input",
                reason,
            });
        }
        if self.content_digest != content_digest(request.body) {
            return Err(HttpSigError::Body);
        }
        let base = signature_base(request, &self.content_digest, &self.params);
        if !key.verify(&base, &self.signature) {
            return Err(HttpSigError::Signature);
        }
        Ok(Proof {
            device: self.device,
            created: self.created,
            nonce: self.nonce.clone(),
        })
    }
}

impl Proof {
    /// Checks that the request was signed within `window` seconds of `now`, on either side. The nonce must be
    /// remembered for twice the window.
    ///
    /// # Errors
    /// [`HttpSigError::Stale`].
    pub fn check_time(&self, now: u64, window: u64) -> Result<(), HttpSigError> {
        let skew = self.created.abs_diff(now);
        if skew <= window {
            Ok(())
        } else {
            Err(HttpSigError::Stale {
                skew,
                ahead: self.created > now,
                window,
            })
        }
    }
}

struct Params<'a> {
    created: u64,
    nonce: &'a str,
    device: DeviceId,
}

impl<'a> Params<'a> {
    /// Reads `;created=…;nonce="…";keyid="…";tag="…"` in any order, each once, `alg` optional, nothing else.
    fn parse(text: &'a str) -> Option<Self> {
        let (mut created, mut nonce, mut device, mut tag, mut alg) = (None, None, None, None, None);
        // No value of this profile holds a `;` or an escape.
        for param in text.strip_prefix(';')?.split(';') {
            let (name, value) = param.split_once('=')?;
            let string = || {
                value
                    .strip_prefix('"')?
                    .strip_suffix('"')
                    .filter(|text| is_plain(text))
            };
            let again = match name {
                "created" => created.replace(integer(value)?).is_some(),
                "nonce" => nonce
                    .replace(string().filter(|nonce| (16..=64).contains(&nonce.len()))?)
                    .is_some(),
                "keyid" => device.replace(string()?.parse::<DeviceId>().ok()?).is_some(),
                "tag" => tag.replace(string()?).is_some(),
                "alg" => alg.replace(string()?).is_some(),
                _ => return None,
            };
            if again {
                return None;
            }
        }
        let fits = tag == Some(TAG) && alg.is_none_or(|alg| alg == "ed25519");
        fits.then_some(Self {
            created: created?,
            nonce: nonce?,
            device: device?,
        })
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
}

/// A structured-field integer from 0 (RFC 9651, 3.3.1): at most 15 digits, and here no leading zero.
fn integer(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 15;
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok())?
}

fn strip_label(value: &str) -> Option<&str> {
    value.strip_prefix(LABEL)?.strip_prefix('=')
}

fn device_of(key: &PublicKey) -> Option<DeviceId> {
    key.ed25519_bytes().map(|bytes| DeviceId::of_public_key(&bytes))
}

fn check_plain(request: &Request<'_>) -> Result<(), HttpSigError> {
    for (part, text) in [
        ("method", request.method),
        ("path", request.path),
        ("query", request.query.unwrap_or_default()),
    ] {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(HttpSigError::RequestLine { part });
        }
    }
    Ok(())
}

/// RFC 9530, section 2.
fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(Sha256::digest(body)))
}

fn components(request: &Request<'_>) -> &'static str {
    match request.query {
        None => r#""@method" "@path" "content-digest""#,
        Some(_) => r#""@method" "@path" "@query" "content-digest""#,
    }
}

/// RFC 9421, section 2.5.
fn signature_base(request: &Request<'_>, content_digest: &str, params: &str) -> Vec<u8> {
    let Request {
        method, path, query, ..
    } = request;
    let query = query
        .map(|query| format!("\"@query\": ?{query}\n"))
        .unwrap_or_default();
    format!(
        "\"@method\": {method}\n\"@path\": {path}\n{query}\"content-digest\": {content_digest}\n\
         \"@signature-params\": {params}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Ed25519Signer;

    const REQUEST: Request<'static> = Request {
        method: "POST",
        path: "/v1/device/checkin",
        query: None,
        body: b"hello",
    };
    const NOW: u64 = 1_795_356_208;

    fn signer() -> Ed25519Signer {
        Ed25519Signer::from_seed(&[5; 32])
    }

    fn headers() -> SignatureHeaders {
        sign_request(&signer(), &REQUEST, NOW, &[9; 16]).unwrap()
    }

    fn verify(headers: &SignatureHeaders, request: &Request<'_>) -> Result<Proof, HttpSigError> {
        Unverified::parse(
            &headers.content_digest,
            &headers.signature_input,
            &headers.signature,
        )?
        .verify(signer().public_key(), request)
    }

    #[test]
    fn golden() {
        let headers = headers();
        let device = device_of(signer().public_key()).unwrap();
        assert_eq!(
            headers.content_digest,
            "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"
        );
        let params = format!(
            "(\"@method\" \"@path\" \"content-digest\");created=1795356208;nonce=\"CQkJCQkJCQkJCQkJCQkJCQ==\";\
             keyid=\"{device}\";alg=\"ed25519\";tag=\"sanderling\""
        );
        assert_eq!(headers.signature_input, format!("sig={params}"));
        let base = format!(
            "\"@method\": POST\n\"@path\": /v1/device/checkin\n\
             \"content-digest\": sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:\n\
             \"@signature-params\": {params}"
        );
        let signature = BASE64
            .decode(&headers.signature[5..headers.signature.len() - 1])
            .unwrap();
        assert!(signer().public_key().verify(base.as_bytes(), &signature));
        let proof = verify(&headers, &REQUEST).unwrap();
        assert_eq!((proof.device, proof.created), (device, NOW));
        assert_eq!(proof.nonce, "CQkJCQkJCQkJCQkJCQkJCQ==");
    }

    #[test]
    fn what_is_signed_cannot_be_changed() {
        let headers = headers();
        for changed in [
            Request {
                method: "PUT",
                ..REQUEST
            },
            Request {
                path: "/v1/device/enrol",
                ..REQUEST
            },
            Request {
                query: Some(""),
                ..REQUEST
            },
            Request {
                body: b"hellp",
                ..REQUEST
            },
            Request { body: b"", ..REQUEST },
            Request {
                method: "POST\n\"@path\": /x",
                ..REQUEST
            },
        ] {
            assert!(verify(&headers, &changed).is_err(), "{changed:?}");
        }
        let injected = Request {
            path: "/v1\"\n\"@path\": /x",
            ..REQUEST
        };
        assert_eq!(
            verify(&headers, &injected),
            Err(HttpSigError::RequestLine { part: "path" })
        );
        assert!(sign_request(&signer(), &injected, NOW, &[9; 16]).is_err());
        let with_query = Request {
            query: Some("a=1"),
            ..REQUEST
        };
        let headers = sign_request(&signer(), &with_query, NOW, &[9; 16]).unwrap();
        assert!(verify(&headers, &with_query).is_ok());
        for query in [None, Some(""), Some("a=2")] {
            assert!(verify(&headers, &Request { query, ..REQUEST }).is_err());
        }
    }

    #[test]
    fn other_keys_and_ids() {
        let headers = headers();
        let other = Ed25519Signer::from_seed(&[6; 32]);
        let read = Unverified::parse(
            &headers.content_digest,
            &headers.signature_input,
            &headers.signature,
        )
        .unwrap();
        let error = read.verify(other.public_key(), &REQUEST).unwrap_err();
        assert!(matches!(error, HttpSigError::OtherKey { .. }), "{error}");
        // In the name of another device, by one's own key.
        let own = sign_request(&other, &REQUEST, NOW, &[9; 16]).unwrap();
        let name = |key: &PublicKey| device_of(key).unwrap().to_string();
        let forged = SignatureHeaders {
            signature_input: own
                .signature_input
                .replace(&name(other.public_key()), &name(signer().public_key())),
            ..own
        };
        assert_eq!(verify(&forged, &REQUEST), Err(HttpSigError::Signature));
    }

    #[test]
    fn the_profile_is_strict() {
        let good = headers();
        let check = |from: &str, to: &str| {
            let input = good.signature_input.replace(from, to);
            assert_ne!(input, good.signature_input, "{from}");
            let changed = SignatureHeaders {
                signature_input: input,
                ..good.clone()
            };
            assert!(verify(&changed, &REQUEST).is_err(), "{from} -> {to}");
        };
        check("sig=", "other=");
        check(" \"content-digest\"", "");
        check("\"@path\"", "\"@authority\"");
        check("tag=\"sanderling\"", "tag=\"x\"");
        check(";tag=\"sanderling\"", "");
        check("ed25519", "rsa-v1_5-sha256");
        check("created=", "created=0");
        check("created=", "created=+");
        check(";created=1795356208", "");
        check(";created", ";created=1;created");
        check("CQkJCQkJCQkJCQkJCQkJCQ==", "short");
        check(";nonce", ";expires=1;nonce");
        check(";nonce=", " ;nonce=");
        let long = SignatureHeaders {
            signature: "x".repeat(1025),
            ..good
        };
        assert!(matches!(
            verify(&long, &REQUEST),
            Err(HttpSigError::Header { .. })
        ));
    }

    /// A device that signs the right lines but states fewer components.
    #[test]
    fn what_is_stated_is_what_is_covered() {
        let good = headers();
        let input = good.signature_input.replace(" \"content-digest\"", "");
        let base = signature_base(&REQUEST, &good.content_digest, strip_label(&input).unwrap());
        let signature = signer().sign(&base).unwrap();
        let signature = format!("{LABEL}=:{}:", BASE64.encode(signature.0));
        let headers = SignatureHeaders {
            signature_input: input,
            signature,
            ..good
        };
        assert!(matches!(
            verify(&headers, &REQUEST),
            Err(HttpSigError::Header { .. })
        ));
    }

    #[test]
    fn time_window() {
        let proof = verify(&headers(), &REQUEST).unwrap();
        for (now, fits) in [
            (NOW, true),
            (NOW + 300, true),
            (NOW + 301, false),
            (NOW - 300, true),
            (NOW - 301, false),
        ] {
            assert_eq!(proof.check_time(now, 300).is_ok(), fits, "{now}");
        }
        assert_eq!(
            proof
                .check_time(0, 300)
                .unwrap_err()
                .to_string()
                .split(" s ")
                .nth(1),
            Some("ahead of the server's clock, 300")
        );
    }
}
