//! README's lines, as they stand there, on a real image.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

// <readme>
use sanderling_embedded::{Classifier, Fpu, Limits, MicroError, Session};

fn classify<'a>(bundle: &'a [u8], arena: &'a mut [u8], pixels: &[u8]) -> Result<usize, MicroError<'a>> {
    let limits = Limits { stack_bytes: 8192 };
    let mut session = Session::new(bundle, Classifier::<Fpu>::TABLE, arena, &limits)?;
    session.set_input(0, pixels)?;
    session.run()?;
    let logits = session.output(0)?;
    let score = |n| logits.f32(n).unwrap_or(f32::NEG_INFINITY);
    Ok((0..10).fold(0, |best, n| if score(n) > score(best) { n } else { best }))
}
// </readme>

#[test]
fn the_lines_in_the_readme_run() {
    use sanderling_compiler::onnx::{Limits, read_file};
    use sanderling_compiler::{OptimiseOptions, Recipe, pack};
    let readme = include_str!("../README.md");
    let lines = include_str!("readme.rs").split("// <readme>\n").nth(1).unwrap();
    let lines = lines.split("// </readme>").next().unwrap();
    assert!(readme.contains(lines), "README.md has other lines than this test");

    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cortex-m/model");
    let table = sanderling_core::OpTable(sanderling_core::ops::ALL);
    let graph = read_file(&model.join("model.onnx"), table, &Limits::default()).unwrap();
    let options = OptimiseOptions::default();
    let bundle = pack::pack(graph, &Recipe::named("fashion"), table, &options, &mut |_| {})
        .unwrap()
        .bytes;
    let images = std::fs::read(model.join("images.bin")).unwrap();
    let mut arena = vec![0; 32 * 1024];
    let right = images
        .chunks_exact(785)
        .filter(|row| classify(&bundle, &mut arena, &row[1..]).unwrap() == usize::from(row[0]));
    assert!(right.count() >= 28);
}
