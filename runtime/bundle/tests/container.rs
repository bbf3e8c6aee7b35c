//! The container from outside: round trips, damage, limits, and the golden file that pins the format.

#![allow(
    clippy::unwrap_used,
    reason = "a helper outside a #[test] may unwrap in a test crate"
)]

use proptest::prelude::*;
use sanderling_bundle::*;

/// A bundle with every kind of section, small and the same on every host.
fn example() -> Vec<u8> {
    let mut builder = BundleBuilder::new(example_manifest());
    builder.numerics(1);
    let weight: Vec<u8> = [0.5f32, -1.0, 2.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    builder
        .tensor("weight", DType::F32, &[2, 2], weight.clone())
        .unwrap();
    builder
        .tensor("nibbles", DType::I4, &[3], vec![0x21, 0x03])
        .unwrap();
    builder.tensor("weight.copy", DType::F32, &[4], weight).unwrap();
    builder
        .tensor(
            "words",
            DType::String,
            &[2],
            b"\x02\0\0\0hi\x03\0\0\0you".to_vec(),
        )
        .unwrap();
    builder.tensor("empty", DType::I64, &[0, 7], vec![]).unwrap();
    builder
        .plan("any", b"a plan that core would read".to_vec())
        .unwrap();
    builder.plan("wgpu", b"another".to_vec()).unwrap();
    let values: Vec<u8> = [1.0f32, 0.25].iter().flat_map(|x| x.to_le_bytes()).collect();
    let golden = GoldenVector {
        name: "ramp",
        inputs: vec![GoldenInput {
            name: "x",
            dtype: DType::U8,
            dims: vec![1, 2],
            bytes: &[0, 255],
        }],
        outputs: vec![
            GoldenOutput {
                name: "scores",
                dtype: DType::F32,
                dims: vec![1, 2],
                expect: Expect::Close {
                    bytes: &values,
                    abs: 1e-6,
                    rel: 1e-4,
                },
            },
            GoldenOutput {
                name: "class",
                dtype: DType::I64,
                dims: vec![1],
                expect: Expect::Exact {
                    digest: value_digest(DType::I64, &[1], &1i64.to_le_bytes()),
                },
            },
        ],
    };
    builder.golden(&[golden]).unwrap();
    builder
        .model_card("# Demo\nMade for tests.")
        .notice("Copyright nobody.");
    builder.section(0x8001, 7, false, vec![1, 2, 3]);
    builder.finish().unwrap()
}

fn example_manifest() -> Manifest {
    let label = |name: &str| Label {
        name: name.into(),
        answer: None,
        threshold: None,
        below_threshold: None,
    };
    Manifest {
        name: "demo".into(),
        version: "1.0".into(),
        description: "Two numbers in, two scores out.".into(),
        inputs: vec![ValueSpec {
            name: "x".into(),
            dtype: DType::U8,
            dims: vec![Dim::Symbol("n".into()), Dim::Fixed(2)],
            range: Some((0.0, 255.0)),
            layout: None,
            semantic: Some("bytes".into()),
        }],
        pre: vec![PreProcessing {
            input: "x".into(),
            step: PreStep::BytesHeadTail(BytesHeadTail {
                head: 1,
                tail: 1,
                block: 16,
                padding_token: 256,
                strip_ascii_whitespace: true,
                min_bytes: 2,
                short: None,
            }),
        }],
        post: vec![PostProcessing {
            output: "scores".into(),
            step: PostStep::Classification(Classification {
                labels: vec![
                    label("cat"),
                    Label {
                        threshold: Some(0.9),
                        ..label("dog")
                    },
                ],
                softmax: false,
                top_k: 1,
                threshold: 0.5,
            }),
        }],
        min_runtime: RuntimeVersion {
            major: 0,
            minor: 1,
            patch: 0,
        },
        operators: vec!["ai.onnx:Add".into()],
        ..Manifest::default()
    }
}

/// Makes the header's hash right again after a change to header or section table, so that later checks are met.
fn reseal(bytes: &mut [u8]) {
    let sections = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
    let table = bytes[64..64 + 64 * sections].to_vec();
    let sealed = [&bytes[..32], &table].concat();
    bytes[32..64].copy_from_slice(&sha256(&sealed));
}

/// The first row of the section table with this kind's code.
fn row_of(bytes: &[u8], kind: SectionKind) -> usize {
    let view = BundleView::parse(bytes).unwrap();
    64 + 64 * view.sections().position(|s| s.kind == kind).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let bytes = example();
    let view = BundleView::parse(&bytes).unwrap();
    view.verify_hashes().unwrap();
    assert_eq!(view.manifest().unwrap(), example_manifest());
    assert_eq!(view.manifest().unwrap().labels().unwrap()[1].name, "dog");

    let tensors = view.tensors();
    assert_eq!(tensors.len(), 5);
    let weight = tensors.by_name("weight").unwrap();
    assert_eq!((weight.dtype, weight.dims.to_vec()), (DType::F32, vec![2, 2]));
    assert_eq!(weight.sha256, sha256(weight.data));
    let copy = tensors.get(2).unwrap();
    assert_eq!(
        copy.data.as_ptr(),
        weight.data.as_ptr(),
        "equal tensors are stored once"
    );
    assert_eq!(
        tensors.get(3).unwrap().strings().collect::<Vec<_>>(),
        ["hi", "you"]
    );
    assert_eq!(tensors.get(4).unwrap().dims.to_vec(), [0, 7]);
    assert!(tensors.get(5).is_none() && tensors.get(usize::MAX).is_none());
    for tensor in tensors.iter() {
        assert_eq!(
            (tensor.data.as_ptr() as usize - bytes.as_ptr() as usize) % ALIGN,
            0
        );
    }

    assert_eq!(view.plan("wgpu").unwrap(), b"another");
    assert_eq!(view.plan("cuda"), None);
    assert_eq!(view.golden().unwrap()[0].outputs.len(), 2);
    assert_eq!(view.model_card().unwrap(), Some("# Demo\nMade for tests."));
    assert_eq!(view.notice().unwrap(), Some("Copyright nobody."));
    assert_eq!(example(), bytes, "the same contents give the same bytes");
}

/// Pins format 1, byte for byte. There is one format so far; when format 2 is made, `v1.sdl` stays, must still
/// be read, and this comparison moves to `v2.sdl`. `UPDATE_GOLDEN=1` writes the file.
#[test]
fn format_1_is_what_the_golden_file_holds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.sdl");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, example()).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert!(
        golden == example(),
        "the format changed: that takes a new version number"
    );
    let view = BundleView::parse(&golden).unwrap();
    view.verify_hashes().unwrap();
    assert_eq!(view.manifest().unwrap(), example_manifest());
}

#[test]
fn every_single_bit_flip_is_found() {
    let mut bytes = example();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let found = BundleView::parse(&bytes).and_then(|view| view.verify_hashes());
            assert!(found.is_err(), "bit {bit} of byte {at} flipped unseen");
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_cut_and_extension_is_found() {
    let mut bytes = example();
    for len in 0..bytes.len() {
        assert!(
            BundleView::parse(&bytes[..len]).is_err(),
            "cut to {len} bytes unseen"
        );
    }
    bytes.push(0);
    assert!(matches!(
        BundleView::parse(&bytes),
        Err(BundleError::TrailingBytes { .. })
    ));
}

#[test]
fn damage_is_named() {
    type Harm = fn(&mut Vec<u8>);
    let cases: &[(&str, Harm, &str)] = &[
        ("empty", |b| b.clear(), "an empty file"),
        ("html", |b| *b = b"<!DOCTYPE html><p>404".to_vec(), "HTML"),
        (
            "onnx",
            |b| *b = b"\x08\x08\x12\x07pytorch".to_vec(),
            "an ONNX model",
        ),
        (
            "text mode",
            |b| *b = b.iter().copied().filter(|&c| c != b'\r').collect(),
            "text-mode",
        ),
        ("cut in the header", |b| b.truncate(20), "cut short: 20 of 64"),
        ("cut in the data", |b| b.truncate(1000), "cut short"),
        ("newer format", |b| b[8] = 9, "update this program"),
        ("older format", |b| b[8] = 0, "pack the model again"),
        ("reserved header bytes", |b| b[30] = 1, "reserved"),
        (
            "table changed",
            |b| b[70] ^= 1,
            "hash of header and section table",
        ),
        (
            "unknown critical section",
            |b| {
                let row = row_of(b, SectionKind::Other(0x8001));
                b[row + 2] = 1;
                reseal(b);
            },
            "section kind 32769",
        ),
        (
            "no manifest",
            |b| {
                let row = row_of(b, SectionKind::Manifest);
                b[row..row + 4].copy_from_slice(&[0x55, 0x80, 0, 0]);
                reseal(b);
            },
            "no section manifest",
        ),
        (
            "overlap",
            |b| {
                let row = row_of(b, SectionKind::TensorTable);
                b[row + 8] ^= 0x40;
                reseal(b);
            },
            "does not begin where",
        ),
        (
            "length overflow",
            |b| {
                let row = row_of(b, SectionKind::TensorData);
                b[row + 16..row + 24].copy_from_slice(&u64::MAX.to_le_bytes());
                reseal(b);
            },
            "overflows",
        ),
        (
            "section twice",
            |b| {
                let row = row_of(b, SectionKind::ModelCard);
                b[row..row + 2].copy_from_slice(&SectionKind::Notice.code().to_le_bytes());
                reseal(b);
            },
            "there twice",
        ),
        (
            "total length lies",
            |b| {
                b[16..24].copy_from_slice(&(1u64 << 60).to_le_bytes());
                reseal(b);
            },
            "over this reader's limit",
        ),
        (
            "too many sections",
            |b| {
                b[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
            },
            "sections in a bundle",
        ),
    ];
    for (name, harm, want) in cases {
        let mut bytes = example();
        harm(&mut bytes);
        let error = BundleView::parse(&bytes).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error:?} does not say {want:?}");
    }
}

#[test]
fn tensor_records_are_checked() {
    // Offset within the first record, new bytes, what the error says.
    let cases: &[(usize, &[u8], &str)] = &[
        (0, &[0xff; 4], "name is out of bounds"),
        (6, &[99], "dtype is unknown"),
        (7, &[200], "shape is out of bounds"),
        (7, &[1], "length does not fit"),
        (8, &[0xff; 4], "shape is out of bounds"),
        (12, &[1], "reserved"),
        (16, &[1], "not aligned"),
        (16, &[0, 0, 0, 0, 0, 0, 0, 0x10], "out of bounds"),
        (24, &[15], "length does not fit"),
    ];
    for (at, new, want) in cases {
        let mut bytes = example();
        let table = BundleView::parse(&bytes)
            .unwrap()
            .sections()
            .find(|s| s.kind == SectionKind::TensorTable);
        let at = table.unwrap().offset as usize + 16 + at;
        bytes[at..at + new.len()].copy_from_slice(new);
        let error = BundleView::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(want), "{error:?} does not say {want:?}");
    }
}

/// Tensors may share their bytes, and each is read: all together are held to the limit of a bundle.
#[test]
fn shared_tensors_count_each_time() {
    let mut builder = BundleBuilder::new(example_manifest());
    for i in 0..100 {
        builder
            .tensor(&format!("t{i}"), DType::U8, &[1000], vec![7; 1000])
            .unwrap();
    }
    let bytes = builder.finish().unwrap();
    BundleView::parse(&bytes).unwrap().verify_hashes().unwrap();
    let limits = |total_bytes| Limits {
        total_bytes,
        ..Limits::default()
    };
    assert!(bytes.len() < 99_999);
    BundleView::parse_with(&bytes, &limits(100_000)).unwrap();
    let found = BundleView::parse_with(&bytes, &limits(99_999)).map(drop);
    let what = "bytes of tensors, shared ones counted each time";
    let (found_bytes, limit) = (100_000, 99_999);
    assert_eq!(
        found,
        Err(BundleError::TooLarge {
            what,
            found: found_bytes,
            limit
        })
    );
}

#[test]
fn the_builder_refuses_what_cannot_be_read() {
    let mut builder = BundleBuilder::new(example_manifest());
    assert!(builder.tensor("t", DType::F32, &[2], vec![0; 7]).is_err());
    assert!(builder.tensor("t", DType::F32, &[u64::MAX, 2], vec![]).is_err());
    assert!(
        builder
            .tensor(&"n".repeat(70_000), DType::U8, &[], vec![0])
            .is_err()
    );
    assert!(builder.plan("", vec![]).is_err());
    assert!(builder.plan(&"x".repeat(64), vec![]).is_err());
    builder.plan("any", vec![]).unwrap();
    assert!(builder.plan("any", vec![]).is_err());
    let bad = GoldenVector {
        name: "g",
        inputs: vec![GoldenInput {
            name: "x",
            dtype: DType::F32,
            dims: vec![2],
            bytes: &[0; 4],
        }],
        outputs: vec![],
    };
    assert!(builder.golden(&[bad]).is_err());
    builder.section(1, 0, false, vec![]);
    assert!(builder.finish().is_err());
}

#[test]
fn versions_parse_and_order() {
    let version: RuntimeVersion = "0.12.3".parse().unwrap();
    assert_eq!(version.to_string(), "0.12.3");
    assert!(version > "0.9.30".parse().unwrap());
    for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "70000.0.0"] {
        assert!(bad.parse::<RuntimeVersion>().is_err(), "{bad}");
    }
}

fn arbitrary_tensor() -> impl Strategy<Value = (String, DType, Vec<u64>, Vec<u8>)> {
    let dtype = prop::sample::select(DType::ALL).prop_filter("fixed width", |d| *d != DType::String);
    ("[a-z./]{0,12}", dtype, prop::collection::vec(0u64..5, 0..4)).prop_flat_map(|(name, dtype, dims)| {
        let elements = dims.iter().product::<u64>() as usize;
        let len = dtype.bytes_for(elements).unwrap();
        prop::collection::vec(0u8..3, len).prop_map(move |data| (name.clone(), dtype, dims.clone(), data))
    })
}

proptest! {
    #[test]
    fn any_bytes_give_a_view_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = BundleView::parse(&bytes);
    }

    /// Structure-aware: several bytes of a good bundle changed, header made right again, everything read.
    #[test]
    fn changed_bundles_are_read_or_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = example();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            if !(24..28).contains(&at) {
                bytes[at] = value;
            }
        }
        reseal(&mut bytes);
        if let Ok(view) = BundleView::parse(&bytes) {
            let _ = (view.manifest(), view.golden(), view.model_card(), view.notice(), view.verify_hashes());
            for tensor in view.tensors().iter() {
                let _ = (tensor.strings().count(), tensor.dims.to_vec());
            }
            let _ = view.plans().count();
        }
    }

    #[test]
    fn tensors_round_trip(tensors in prop::collection::vec(arbitrary_tensor(), 0..12)) {
        let mut builder = BundleBuilder::new(Manifest::default());
        for (name, dtype, dims, data) in &tensors {
            builder.tensor(name, *dtype, dims, data.as_slice()).unwrap();
        }
        let bytes = builder.finish().unwrap();
        let view = BundleView::parse(&bytes).unwrap();
        view.verify_hashes().unwrap();
        let read: Vec<_> = view.tensors().iter().map(|t| (t.name.to_string(), t.dtype, t.dims.to_vec(), t.data.to_vec())).collect();
        prop_assert_eq!(read, tensors);
    }
}

#[test]
fn element_types_are_one_byte_in_postcard() {
    for &d in DType::ALL {
        let bytes = postcard::to_allocvec(&d).unwrap();
        assert_eq!(bytes, [d.code()]);
        assert_eq!(postcard::from_bytes::<DType>(&bytes).unwrap(), d);
    }
    assert!(postcard::from_bytes::<DType>(&[0]).is_err());
}
