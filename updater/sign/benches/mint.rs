//! What one check-in costs: the server mints a document and checks a request, the device signs and verifies.
//!
//! `cargo bench -p sanderling-sign` prints microseconds per operation, one thread: the median of 21 rounds.

use sanderling_sign::{mint_director, mint_timestamp};
use sanderling_trust::envelope::Envelope;
use sanderling_trust::http_sig::{Request, Unverified, sign_request};
use sanderling_trust::metadata::Header;
use sanderling_trust::*;
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId, RolloutId};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Instant;

const NOW: UnixTime = UnixTime(1_795_348_800);
const NAME: &str = "magika-3.3.0.sdl";
const ROUNDS: usize = 21;
const PER_ROUND: u32 = 200;

fn main() {
    let signer = Ed25519Signer::from_seed(&[1; 32]);
    let root = root(&signer);
    let pin = RootPin::of(Roots::Production, &root);
    let device = DeviceIdentity {
        device: DeviceId::of_public_key(&[7; 32]),
        hardware: HardwareId::new("pi4").expect("the name is plain"),
        release_floor: 1,
    };
    let document = document(&device);
    let bytes = mint_director(&signer, &document).expect("keys in memory sign");
    let files = image_files(&signer);
    let director = Director::new(&pin, &root, Limits::default()).expect("the root is good");
    let images = TrustedSet::new(&pin, &root, Limits::default()).expect("the root is good");
    let images = refreshed(images, &files);

    println!("a director document has {} bytes", bytes.len());
    row("mint a director document", || mint_director(&signer, &document));
    row("mint a timestamp", || {
        mint_timestamp(&signer, 2, NOW.plus(3600), 1, &files[1])
    });
    row("verify a director document and decide", || {
        let mut director = director.clone();
        let verified = director
            .verify(&bytes, &device, NOW)
            .expect("the document is good");
        decide(&images, verified, &device, NOW).expect("both repositories agree")
    });
    row("a whole update cycle: timestamp, snapshot, targets", || {
        refreshed(
            TrustedSet::new(&pin, &root, Limits::default()).expect("the root is good"),
            &files,
        )
    });
    let body = [9u8; 400];
    let request = Request {
        method: "POST",
        path: "/v1/device/checkin",
        query: None,
        body: &body,
    };
    let headers = sign_request(&signer, &request, NOW.0, &[3; 16]).expect("keys in memory sign");
    row("sign a request of 400 bytes", || {
        sign_request(&signer, &request, NOW.0, &[3; 16])
    });
    row("verify a request of 400 bytes", || {
        Unverified::parse(
            &headers.content_digest,
            &headers.signature_input,
            &headers.signature,
        )
        .and_then(|read| read.verify(signer.public_key(), &request))
        .expect("the request is good")
    });
}

fn row<T>(name: &str, mut operation: impl FnMut() -> T) {
    let mut micros: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PER_ROUND {
                black_box(operation());
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(PER_ROUND)
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    println!("{name:<52} {:>8.1} µs", micros[ROUNDS / 2]);
}

fn signed(signer: &Ed25519Signer, value: sanderling_trust::json::Value) -> Vec<u8> {
    let mut envelope = Envelope::unsigned(value);
    envelope.sign(signer).expect("keys in memory sign");
    envelope.to_bytes()
}

fn header() -> Header {
    Header {
        version: 1,
        expires: NOW.plus(86_400),
    }
}

fn root(signer: &Ed25519Signer) -> Vec<u8> {
    let key = signer.public_key();
    let role = RoleKeys {
        key_ids: [key.id().clone()].into(),
        threshold: NonZeroU64::MIN,
    };
    let root = Root {
        header: header(),
        consistent_snapshot: true,
        keys: BTreeMap::from([(key.id().clone(), key.clone())]),
        root: role.clone(),
        timestamp: role.clone(),
        snapshot: role.clone(),
        targets: role,
        demo: false,
        repository: None,
    };
    signed(signer, root.to_value())
}

/// Targets, snapshot, timestamp, with twenty releases.
fn image_files(signer: &Ed25519Signer) -> [Vec<u8>; 3] {
    let release = Release {
        name: "magika".to_owned(),
        version: "3.3.0".to_owned(),
        counter: 1,
        min_runtime: (0, 1, 0),
        operators: Digest::of(b""),
        allowed_disagreement_ppm: 0,
    };
    let file = TargetFile {
        length: 1,
        hashes: Hashes::sha256(&Digest::of(b"1")),
        custom: Some(release.to_custom()),
    };
    let mut targets: BTreeMap<String, TargetFile> =
        (0..19).map(|n| (format!("m-{n}.sdl"), file.clone())).collect();
    targets.insert(NAME.to_owned(), file);
    let targets = signed(
        signer,
        Targets {
            header: header(),
            targets,
            delegations: None,
        }
        .to_value(),
    );
    let meta = BTreeMap::from([("targets.json".to_owned(), MetaFile::of(1, &targets))]);
    let snapshot = signed(
        signer,
        Snapshot {
            header: header(),
            meta,
        }
        .to_value(),
    );
    let timestamp = mint_timestamp(signer, 1, NOW.plus(3600), 1, &snapshot).expect("keys in memory sign");
    [targets, snapshot, timestamp]
}

fn refreshed(mut set: TrustedSet, [targets, snapshot, timestamp]: &[Vec<u8>; 3]) -> TrustedSet {
    let taken = set
        .update_timestamp(timestamp, NOW)
        .and_then(|_| set.update_snapshot(snapshot, NOW))
        .and_then(|()| set.update_targets(targets, NOW));
    taken.expect("the files are good");
    set
}

fn document(device: &DeviceIdentity) -> DirectorTargets {
    DirectorTargets {
        header: Header {
            version: 1,
            expires: NOW.plus(3600),
        },
        issued: NOW,
        device: device.device,
        hardware: device.hardware.clone(),
        image_timestamp_version: 1,
        rollout: Some(RolloutAssignment {
            rollout: RolloutId(7),
            arm: Arm::Target,
            mode: Mode::Activate,
            ledger_head: Digest::of(b"ledger"),
        }),
        target: Some(SelectedTarget {
            name: NAME.to_owned(),
            length: 1,
            sha256: Digest::of(b"1"),
            release_counter: 1,
        }),
    }
}
