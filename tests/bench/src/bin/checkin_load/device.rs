//! A device of the fleet under test: it makes requests and reads replies as the agent does.

use crate::rollout::OPERATOR;
use anyhow::{Context, ensure};
use sanderling_trust::http_sig::{Request, sign_request};
use sanderling_trust::{
    DeviceIdentity, Director, DirectorTargets, Ed25519Signer, Envelope, Limits, Role, RootPin, Roots,
    Signer as _,
};
use sanderling_wire::{
    ActiveImage, CheckIn, CheckInReply, DeviceId, Digest, EnrolRequest, HardwareId, Phase, Record,
    RecordBody, RuntimeInfo, ServingWindow, Sketch, StateReport, api,
};
use std::io::Write as _;

/// Least bytes of telemetry in a check-in.
const MIN_RECORD_LEN: usize = 200;
/// One reply in so many is verified whole, signature included; the others are read and checked for their recipient.
/// The generator shares the machine with the server, and devices would verify on their own.
const VERIFY_EVERY: u64 = 64;

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    signer: Ed25519Signer,
    public_key: [u8; 32],
    id: DeviceId,
    /// What it answers from.
    image: Digest,
    incarnation: u64,
    /// Records the server has acknowledged; the number of the next.
    sequence: u64,
    director_version: u64,
}

impl Device {
    /// Device `number` of the fleet that `seed` makes.
    pub(crate) fn new(seed: u64, number: u64, image: Digest) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&number.to_le_bytes());
        let signer = Ed25519Signer::from_seed(&key);
        let public_key = signer
            .public_key()
            .ed25519_bytes()
            .expect("an Ed25519 signer has an Ed25519 key");
        Self {
            id: DeviceId::of_public_key(&public_key),
            signer,
            public_key,
            image,
            incarnation: number + 1,
            sequence: 0,
            director_version: 0,
        }
    }

    /// Records acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.sequence
    }

    /// The HTTP request that redeems an enrolment token.
    pub(crate) fn enrolment(&self, token: &str, now: u64) -> anyhow::Result<Vec<u8>> {
        let request = EnrolRequest {
            token: token.to_owned(),
            public_key: self.public_key,
            hardware: hardware(),
            runtime: runtime(),
        };
        self.signed(api::ENROL, &sanderling_wire::encode(&request), now)
    }

    /// The next check-in as an HTTP request: the state, and one new record.
    pub(crate) fn check_in(&self, now: u64) -> anyhow::Result<Vec<u8>> {
        let message = CheckIn {
            incarnation: self.incarnation,
            state: StateReport {
                phase: Phase::Idle,
                active: Some(ActiveImage {
                    digest: self.image,
                    rollout: None,
                    confirmed: true,
                }),
                standby: None,
                director_version: self.director_version,
                image_root_version: 1,
                director_root_version: 1,
                release_floor: 0,
                runtime: runtime(),
                dropped_records: 0,
            },
            records: vec![record(self.sequence, now, self.image)],
        };
        self.signed(api::CHECK_IN, &sanderling_wire::encode(&message), now)
    }

    fn signed(&self, path: &str, body: &[u8], now: u64) -> anyhow::Result<Vec<u8>> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).context("no randomness")?;
        let headers = sign_request(
            &self.signer,
            &Request {
                method: "POST",
                path,
                query: None,
                body,
            },
            now,
            &nonce,
        )?;
        let mut request = Vec::with_capacity(1024 + body.len());
        write!(
            request,
            "POST {path} HTTP/1.1\r\nhost: fleet\r\ncontent-type: {}\r\n",
            api::CONTENT_TYPE
        )?;
        for (name, value) in headers.entries() {
            write!(request, "{name}: {value}\r\n")?;
        }
        write!(request, "content-length: {}\r\n\r\n", body.len())?;
        request.extend_from_slice(body);
        Ok(request)
    }

    /// Reads the reply to a check-in as the device does: its document must be for this device and not older than the
    /// one before, its mark must cover the record that was sent.
    pub(crate) fn read_reply(&mut self, trust: &Trust, body: &[u8], now: u64) -> anyhow::Result<()> {
        let reply: CheckInReply = sanderling_wire::decode(body)?;
        let document = trust.read(
            &reply.director,
            self.id,
            self.sequence.is_multiple_of(VERIFY_EVERY),
            now,
        )?;
        ensure!(
            document.device == self.id,
            "the document is for {}, not for {}",
            document.device,
            self.id
        );
        ensure!(
            document.header.version >= self.director_version,
            "the document is older than the one before"
        );
        ensure!(
            reply.acknowledged == self.sequence + 1,
            "{} records are acknowledged, {} were sent",
            reply.acknowledged,
            self.sequence + 1
        );
        self.director_version = document.header.version;
        self.sequence = reply.acknowledged;
        Ok(())
    }
}

/// What devices of this fleet trust.
#[derive(Debug)]
pub(crate) struct Trust {
    director: Director,
}

impl Trust {
    /// From the director's first root.
    pub(crate) fn new(director_root: &[u8]) -> anyhow::Result<Self> {
        let pin = RootPin::of(Roots::Demo, director_root);
        Ok(Self {
            director: Director::new(&pin, director_root, Limits::default())?,
        })
    }

    fn read(
        &self,
        bytes: &[u8],
        device: DeviceId,
        verify: bool,
        now: u64,
    ) -> anyhow::Result<DirectorTargets> {
        if verify {
            let identity = DeviceIdentity {
                device,
                hardware: hardware(),
                release_floor: 0,
            };
            let mut director = self.director.clone();
            return Ok((**director.verify(bytes, &identity, sanderling_trust::UnixTime(now))?).clone());
        }
        let envelope = Envelope::parse(&Role::Director, bytes, Limits::default().max_director_len)?;
        Ok(DirectorTargets::from_value(envelope.signed())?)
    }
}

fn hardware() -> HardwareId {
    HardwareId::new("load-device").expect("lower-case letters and a hyphen are a hardware id")
}

/// As long as the agent's own: a runtime names each operator it has.
fn runtime() -> RuntimeInfo {
    RuntimeInfo {
        version: (0, 1, 0),
        numerics: 1,
        bundle_format: 1,
        operators: (0..150)
            .map(|number| format!(":Operator{number:03}"))
            .chain([OPERATOR.to_owned()])
            .collect(),
        memory_limit: 64 << 20,
    }
}

/// A serving window as the agent writes one: a minute of two answers a second.
fn record(sequence: u64, now: u64, image: Digest) -> Record {
    let mut latency_us = Sketch::new();
    for answer in 0..120_u64 {
        // Some spread, the same for everybody: 1.0 to 4.5 ms.
        latency_us.add(1000.0 + (answer * answer + sequence) as f64 % 3500.0);
    }
    Record {
        sequence,
        time: now,
        body: RecordBody::Serving(ServingWindow {
            image,
            seconds: 60,
            answers: 120,
            errors: 0,
            rejected_inputs: 1,
            flagged_inputs: 2,
            cascaded: 3,
            degraded: 0,
            latency_us,
            confidence: [0, 1, 2, 2, 3, 4, 7, 11, 25, 65],
            classes: (0..16).map(|class| (class * 7, 16 - class)).collect(),
        }),
    }
}

/// Bytes of a record on the wire and on disk.
pub(crate) fn record_len() -> usize {
    let len = sanderling_wire::encode(&record(0, 1_795_356_208, Digest([0; 32]))).len();
    assert!(
        len >= MIN_RECORD_LEN,
        "a record has {len} bytes, the test promises {MIN_RECORD_LEN}"
    );
    len
}
