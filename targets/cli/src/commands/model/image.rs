//! 8-bit RGB images as binary PPM (netpbm's P6): the one format that needs no decoder.

use anyhow::{Context, bail};
use sanderling_session::ImageRgb;

/// Most pixels of an image.
const MAX_PIXELS: usize = 1 << 28;

/// Reads the header of a P6 file; its pixels stay where they are.
pub(crate) fn ppm(file: &[u8]) -> anyhow::Result<ImageRgb<'_>> {
    if !file.starts_with(b"P6") {
        let found = sanderling_bundle::describe_file(file).unwrap_or("something else");
        bail!(
            "the model takes images as binary PPM (P6), this is {found}: convert it first, as in `magick photo.jpg photo.ppm`"
        );
    }
    let mut at = 2;
    let (width, height, top) = (
        number(file, &mut at)?,
        number(file, &mut at)?,
        number(file, &mut at)?,
    );
    if top != 255 {
        bail!("the image has {top} as its largest value, not 255: convert it to 8 bits a channel");
    }
    // One byte of white space stands between header and pixels.
    let pixels = width.checked_mul(height).filter(|&n| n > 0 && n <= MAX_PIXELS);
    let length = 3 * pixels.with_context(|| format!("an image of {width} × {height} pixels"))?;
    let rgb = file.get(at + 1..).and_then(|rest| rest.get(..length));
    let rgb = rgb
        .with_context(|| format!("the image is cut short: {width} × {height} pixels take {length} bytes"))?;
    Ok(ImageRgb { width, height, rgb })
}

/// The next number of the header; white space and comments before it are passed over.
fn number(file: &[u8], at: &mut usize) -> anyhow::Result<usize> {
    loop {
        match file.get(*at) {
            Some(b'#') => *at += file[*at..].iter().take_while(|byte| **byte != b'\n').count(),
            Some(byte) if byte.is_ascii_whitespace() => *at += 1,
            _ => break,
        }
    }
    let digits = file[*at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let text = std::str::from_utf8(&file[*at..*at + digits])?;
    *at += digits;
    text.parse()
        .context("the image's header is damaged: it has no width, height and largest value")
}

#[cfg(test)]
mod tests {
    use super::ppm;

    #[test]
    fn headers() {
        let image = ppm(b"P6\n# a comment\n2 1\n255\nabcdef").unwrap();
        assert_eq!((image.width, image.height, image.rgb), (2, 1, &b"abcdef"[..]));
        for (file, word) in [
            (&b"\xff\xd8\xff"[..], "JPEG"),
            (b"P6 2 1 255\nabc", "cut short"),
            (b"P6 2 1 65535\nabc", "8 bits"),
            (b"P6 2", "damaged"),
            (b"P6 0 9 255\n", "0 × 9"),
            (b"P6 99999999999 99999999999 255\n", "pixels"),
        ] {
            let error = format!("{:#}", ppm(file).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
