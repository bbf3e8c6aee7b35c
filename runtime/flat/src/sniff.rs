//! Says what a file looks like, for error messages: people hand over the wrong file more often than a broken one.

use crate::format::MAGIC;

/// Leading bytes, where they stand, and what to call a file that has them.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, &MAGIC, "a Sanderling bundle (.sdl)"),
    (
        0,
        b"\x89SDL",
        "a Sanderling bundle damaged by a text-mode transfer (copy it in binary mode)",
    ),
    (
        0,
        b"\x09SDL",
        "a Sanderling bundle damaged by a 7-bit transfer (copy it in binary mode)",
    ),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"GGUF", "a GGUF file (llama.cpp)"),
    (
        0,
        b"PK\x03\x04",
        "a ZIP archive (a PyTorch .pt, a wheel or a saved archive: unpack or export it first)",
    ),
    (0, b"\x1f\x8b", "a gzip archive (unpack it first)"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive (unpack it first)"),
    (0, b"BZh", "a bzip2 archive (unpack it first)"),
    (0, b"\xfd7zXZ\0", "an xz archive (unpack it first)"),
    (257, b"ustar", "a tar archive (unpack it first)"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights)"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x7fELF", "an ELF program"),
    (0, b"%PDF", "a PDF document"),
    (
        0,
        b"\x80\x02",
        "a Python pickle (an old PyTorch .pth: export it to ONNX)",
    ),
    (0, b"\x80\x04", "a Python pickle (export the model to ONNX)"),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer (run `git lfs pull`)",
    ),
];

/// What the bytes look like, or `None` where nothing is recognised. Looks at the first 300 bytes only.
///
/// ONNX files have no signature; a protobuf that begins with a plausible `ir_version` is called one.
#[must_use]
pub fn describe(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("an empty file");
    }
    let named = SIGNATURES
        .iter()
        .find(|(at, sign, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(sign)))
        .map(|(_, _, what)| *what);
    named.or_else(|| describe_by_shape(bytes))
}

fn describe_by_shape(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(300)];
    let text = head.trim_ascii_start();
    if text.first() == Some(&b'<') {
        return Some("an HTML or XML page (a download that gave an error page or needs a login?)");
    }
    // safetensors: u64 length of a JSON header, then the header itself.
    if bytes.get(8) == Some(&b'{') && bytes.get(5..8) == Some(&[0; 3]) {
        return Some("a safetensors file (weights without a graph: export the model to ONNX)");
    }
    if text.first() == Some(&b'{') || text.first() == Some(&b'[') {
        return Some("a JSON file");
    }
    // ModelProto: field 1 (ir_version), varint, 1..=20, then field 2, 3, 7 or 8.
    if let [0x08, version @ 1..=20, 0x12 | 0x1a | 0x3a | 0x42, ..] = bytes {
        let _ = version;
        return Some("an ONNX model");
    }
    let printable = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 0x80..);
    head.iter().all(printable).then_some("a text file")
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn wrong_files_are_named() {
        let tar = {
            let mut t = [b'a'; 512];
            t[257..262].copy_from_slice(b"ustar");
            t
        };
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"", Some("empty")),
            (b"PK\x03\x04rest", Some("ZIP")),
            (b"<!DOCTYPE html>", Some("HTML")),
            (b"\n  <html>", Some("HTML")),
            (b"\x1c\0\0\0TFL3", Some("TensorFlow Lite")),
            (b"\x10\0\0\0\0\0\0\0{\"a\":{}}", Some("safetensors")),
            (b"{\"a\":1}", Some("JSON")),
            (b"\x08\x08\x12\x07pytorch", Some("ONNX")),
            (b"\x89SDL\n\x1a\n", Some("text-mode")),
            (b"hello there", Some("text")),
            (&tar, Some("tar")),
            (b"\x00\x01\x02\x03", None),
        ];
        for (bytes, want) in cases {
            let got = describe(bytes);
            assert!(
                match want {
                    Some(part) => got.is_some_and(|g| g.contains(part)),
                    None => got.is_none(),
                },
                "{bytes:?}: {got:?}, wanted {want:?}"
            );
        }
    }
}
