//! Packs the bundle that the firmware holds, and compares what it printed with the native session.

use crate::{IMAGE_LEN, IMAGES};
use anyhow::{Context, Result, bail, ensure};
use sanderling_bundle::BundleView;
use sanderling_compiler::onnx::{Limits, read_file};
use sanderling_compiler::{OptimiseOptions, Recipe, pack};
use sanderling_core::{OpTable, Tensor, ops};
use sanderling_session::{ModelBytes, Session, SessionOptions};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const HELP: &str = "usage: sanderling-cortex-m pack FOLDER BUNDLE | judge BUNDLE ELF LOG [TARGET]";

pub(crate) fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["pack", folder, bundle] => pack_model(folder.as_ref(), bundle.as_ref()),
        ["judge", bundle, elf, log] => judge(bundle.as_ref(), elf.as_ref(), log.as_ref(), "board"),
        ["judge", bundle, elf, log, target] => judge(bundle.as_ref(), elf.as_ref(), log.as_ref(), target),
        _ => bail!(HELP),
    }
}

/// What `sanderling pack` does, without the rest of the command line's crates.
fn pack_model(folder: &Path, bundle: &Path) -> Result<()> {
    let (recipe, model) = Recipe::load(&folder.join("sanderling.toml"))?;
    let table = OpTable(ops::ALL);
    let model = read_file(&model, table, &Limits::default())?;
    let packed = pack::pack(model, &recipe, table, &OptimiseOptions::default(), &mut |_| {})?;
    std::fs::write(bundle, &packed.bytes).with_context(|| bundle.display().to_string())?;
    println!("{}: {} bytes", bundle.display(), packed.bytes.len());
    Ok(())
}

/// What the firmware printed.
#[derive(Default)]
struct Printed {
    /// By image and name of the value.
    layers: BTreeMap<(usize, String), String>,
    /// Label, truth and digest of the output, by image.
    images: BTreeMap<usize, (usize, usize, String)>,
    /// Touched, and certified.
    arena: Option<(u32, u32)>,
    /// Used, and the bound.
    stack: Option<(u32, u32)>,
    /// How often the pin was high, and low, where the board has one.
    pin: Option<(u32, u32)>,
    done: bool,
}

impl Printed {
    fn read(log: &str) -> Result<Self> {
        let mut printed = Self::default();
        for line in log.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["layer", image, ref name @ .., digest] => {
                    printed
                        .layers
                        .insert((image.parse()?, name.join(" ")), digest.into());
                }
                ["image", image, "label", label, "is", truth, "digest", digest] => {
                    let row = (label.parse()?, truth.parse()?, digest.into());
                    printed.images.insert(image.parse()?, row);
                }
                ["arena", touched, "certificate", bytes] => {
                    printed.arena = Some((touched.parse()?, bytes.parse()?));
                }
                ["stack", used, "bound", bytes] => printed.stack = Some((used.parse()?, bytes.parse()?)),
                ["pin", "highs", highs, "lows", lows] => printed.pin = Some((highs.parse()?, lows.parse()?)),
                ["done"] => printed.done = true,
                _ => bail!("the firmware said: {line}"),
            }
        }
        ensure!(printed.done, "the firmware did not come to its end:\n{log}");
        Ok(printed)
    }

    /// Bytes of arena and of stack that were used, and the stack's bound.
    fn fits(&self, bundle: &[u8]) -> Result<(u32, u32, u32)> {
        let certificate = BundleView::parse(bundle)?
            .certificate()?
            .context("no certificate")?;
        let (touched, stated) = self.arena.context("no line about the arena")?;
        ensure!(
            (touched, stated) == (certificate.arena_bytes, certificate.arena_bytes),
            "the arena: {touched} bytes touched, the certificate says {}",
            certificate.arena_bytes
        );
        let (used, bound) = self.stack.context("no line about the stack")?;
        ensure!(
            bound == certificate.stack_bytes && 0 < used && used <= bound,
            "the stack: {used} bytes used, the certificate's bound is {}",
            certificate.stack_bytes
        );
        Ok((touched, used, bound))
    }
}

fn judge(bundle: &Path, elf: &Path, log: &Path, target: &str) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let bytes = read(bundle)?;
    let printed = Printed::read(&String::from_utf8_lossy(&read(log)?))?;
    let (touched, used, bound) = printed.fits(&bytes)?;
    let pin = target.starts_with("thumb").then_some((1, 1));
    ensure!(
        printed.pin == pin,
        "the pin of a marked run: {:?}, not {pin:?}",
        printed.pin
    );
    let mut session = Session::from_bundle(ModelBytes::copy_of(&bytes), &SessionOptions::default())?;
    let (mut compared, mut right) = (0, 0);
    let mut different = Vec::new();
    for (i, row) in IMAGES.chunks_exact(IMAGE_LEN).enumerate() {
        let image = Tensor::from_slice(&[1, 1, 28, 28], &row[1..])?;
        let inputs = [("image", image.view())];
        for layer in session.layers(&inputs)? {
            let Some(digest) = layer.digest else { continue };
            compared += 1;
            let found = printed.layers.get(&(i, layer.value.clone()));
            if found != Some(&hex(&digest)) {
                different.push(format!("image {i}, {}", layer.value));
            }
        }
        let outputs = session.run(&inputs)?;
        let logits = outputs.at(0).context("no output")?;
        let values = logits.as_slice::<f32>()?;
        let best = (0..values.len()).reduce(|best, n| if values[n] > values[best] { n } else { best });
        let (label, truth, digest) = printed
            .images
            .get(&i)
            .with_context(|| format!("no line about image {i}"))?;
        right += usize::from(label == truth);
        if (Some(*label), digest) != (best, &hex(&logits.digest())) {
            different.push(format!("image {i}, the answer"));
        }
    }
    let flash = flash_bytes(&read(elf)?)?;
    let manifest = BundleView::parse(&bytes)?.manifest()?;
    let first = printed
        .images
        .get(&0)
        .and_then(|(label, ..)| manifest.labels()?.get(*label));
    // For a table of targets; an emulator's time says nothing.
    println!(
        "row\t{target}\t{}\t{}\t{compared}\t{}\t-\t{flash}",
        manifest.name,
        first.map_or("-", |label| label.name.as_str()),
        different.len()
    );
    ensure!(
        different.is_empty(),
        "different from the native session: {}",
        different.join("; ")
    );
    let code = flash - bytes.len() - IMAGES.len();
    println!(
        "{target}: {} images, {right} right; {compared} integer layers compared, 0 differences; arena {touched} bytes as certified, stack {used} of \
         {bound}; flash: code {code}, bundle {}",
        printed.images.len(),
        bytes.len()
    );
    Ok(())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes that an ELF file puts into flash: its segments, as far as the file holds them.
fn flash_bytes(elf: &[u8]) -> Result<usize> {
    let u16_at = |at: usize| {
        elf.get(at..at + 2)
            .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
    };
    let u32_at = |at: usize| {
        elf.get(at..at + 4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    };
    ensure!(
        elf.starts_with(b"\x7fELF\x01\x01"),
        "not a 32-bit little-endian ELF file"
    );
    let header = || Some((u32_at(28)?, u16_at(42)?, u16_at(44)?));
    let (first, size, count) = header().context("the ELF file is cut short")?;
    let loaded = (0..count).filter_map(|i| {
        let at = first + i * size;
        (u32_at(at)? == 1).then(|| u32_at(at + 16)).flatten()
    });
    Ok(loaded.sum())
}
