//! An image brought to the model's size and scale. What the step means is said at
//! [`ImageU8`](sanderling_bundle::ImageU8).

use super::tensor_of;
use crate::error::SessionError;
use sanderling_bundle::{Channels, ImageLayout, ImageU8, Resize};
use sanderling_core::{DType, Tensor};

/// A decoded image, 8-bit channels red, green, blue, row by row.
#[derive(Debug, Clone, Copy)]
pub struct ImageRgb<'a> {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 · width · height` bytes.
    pub rgb: &'a [u8],
}

/// Where the image lies in the model's frame, in the frame's pixels.
struct Placement {
    /// Pixels of the source for one of the frame, across and down.
    step: [f32; 2],
    /// The frame's pixel at which the scaled image begins, left and top; negative where it is cut.
    origin: [f32; 2],
    /// Size of the scaled image.
    size: [f32; 2],
    /// Channel value outside of it.
    fill: f32,
}

fn place(step: &ImageU8, image: &ImageRgb<'_>) -> Placement {
    let (width, height) = (image.width as f32, image.height as f32);
    let frame = [step.width as f32, step.height as f32];
    let scaled = |scale: f32, fill: f32| {
        let size = [
            (width * scale).round().max(1.0),
            (height * scale).round().max(1.0),
        ];
        // Whole pixels, so that an image is never blurred by where it lies.
        let origin = [
            ((frame[0] - size[0]) / 2.0).floor(),
            ((frame[1] - size[1]) / 2.0).floor(),
        ];
        Placement {
            step: [width / size[0], height / size[1]],
            origin,
            size,
            fill,
        }
    };
    match step.resize {
        Resize::Stretch => Placement {
            step: [width / frame[0], height / frame[1]],
            origin: [0.0; 2],
            size: frame,
            fill: 0.0,
        },
        Resize::CenterCrop { shorter } => scaled(shorter as f32 / width.min(height), 0.0),
        Resize::Letterbox { fill } => scaled((frame[0] / width).min(frame[1] / height), f32::from(fill)),
    }
}

/// The two source indices around a frame's coordinate and the weight of the second; half-pixel centres.
fn taps(at: f32, step: f32, len: usize) -> (usize, usize, f32) {
    let x = ((at + 0.5) * step - 0.5).clamp(0.0, (len - 1) as f32);
    let low = x.floor();
    // Clamped above: not negative, and below the length.
    let index = low as usize;
    (index, (index + 1).min(len - 1), x - low)
}

/// The model's input.
pub(super) fn prepare(step: &ImageU8, image: &ImageRgb<'_>, dtype: DType) -> Result<Tensor, SessionError> {
    let bytes = image
        .width
        .checked_mul(image.height)
        .and_then(|n| n.checked_mul(3));
    if bytes != Some(image.rgb.len()) || image.rgb.is_empty() {
        let (width, height, len) = (image.width, image.height, image.rgb.len());
        let message = format!("an image of {width} × {height} has 3·{width}·{height} bytes, these are {len}");
        return Err(SessionError::Pipeline { message });
    }
    let placement = place(step, image);
    let (rows, cols) = (step.height as usize, step.width as usize);
    let order = match step.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let element = |row: usize, col: usize, channel: usize| {
        let value = sample(image, &placement, row, col, order[channel]);
        (value - step.mean[channel]) / step.std[channel]
    };
    match step.layout {
        ImageLayout::Nchw => {
            let all = (0..3).flat_map(|c| (0..rows).flat_map(move |y| (0..cols).map(move |x| (y, x, c))));
            tensor_of(dtype, &[1, 3, rows, cols], all.map(|(y, x, c)| element(y, x, c)))
        }
        ImageLayout::Nhwc => {
            let all = (0..rows).flat_map(|y| (0..cols).flat_map(move |x| (0..3).map(move |c| (y, x, c))));
            tensor_of(dtype, &[1, rows, cols, 3], all.map(|(y, x, c)| element(y, x, c)))
        }
    }
}

/// One channel of one of the frame's pixels, bilinear.
fn sample(image: &ImageRgb<'_>, placement: &Placement, row: usize, col: usize, channel: usize) -> f32 {
    let at = [col as f32 - placement.origin[0], row as f32 - placement.origin[1]];
    if (0..2).any(|axis| at[axis] < 0.0 || at[axis] >= placement.size[axis]) {
        return placement.fill;
    }
    let (x0, x1, across) = taps(at[0], placement.step[0], image.width);
    let (y0, y1, down) = taps(at[1], placement.step[1], image.height);
    let pixel = |y: usize, x: usize| f32::from(image.rgb[(y * image.width + x) * 3 + channel]);
    let top = pixel(y0, x0) + (pixel(y0, x1) - pixel(y0, x0)) * across;
    let bottom = pixel(y1, x0) + (pixel(y1, x1) - pixel(y1, x0)) * across;
    top + (bottom - top) * down
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(resize: Resize, layout: ImageLayout, channels: Channels) -> ImageU8 {
        ImageU8 {
            height: 2,
            width: 2,
            layout,
            channels,
            mean: [0.0; 3],
            std: [1.0; 3],
            resize,
        }
    }

    fn floats(step: &ImageU8, image: &ImageRgb<'_>) -> Vec<f32> {
        prepare(step, image, DType::F32)
            .unwrap()
            .view()
            .as_slice::<f32>()
            .unwrap()
            .to_vec()
    }

    #[test]
    fn layouts_and_channels() {
        let rgb = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let image = ImageRgb {
            width: 2,
            height: 2,
            rgb: &rgb,
        };
        let nhwc = step(Resize::Stretch, ImageLayout::Nhwc, Channels::Rgb);
        assert_eq!(floats(&nhwc, &image), rgb.map(f32::from));
        let nchw = step(Resize::Stretch, ImageLayout::Nchw, Channels::Bgr);
        assert_eq!(
            floats(&nchw, &image),
            [3., 6., 9., 12., 2., 5., 8., 11., 1., 4., 7., 10.]
        );
    }

    #[test]
    fn a_letterbox_fills_and_a_crop_cuts() {
        let rgb: Vec<u8> = [10u8, 20, 30, 40].iter().flat_map(|&v| [v; 3]).collect();
        let wide = ImageRgb {
            width: 4,
            height: 1,
            rgb: &rgb,
        };
        let red = |resize| {
            let all = floats(&step(resize, ImageLayout::Nchw, Channels::Rgb), &wide);
            all[..4].to_vec()
        };
        // Scaled by one half: two pixels wide, one high.
        assert_eq!(red(Resize::Letterbox { fill: 7 }), [15.0, 35.0, 7.0, 7.0]);
        // Scaled by two: the middle two of eight pixels, twice.
        assert_eq!(red(Resize::CenterCrop { shorter: 2 }), [22.5, 27.5, 22.5, 27.5]);
    }

    #[test]
    fn a_wrong_size_is_refused() {
        let image = ImageRgb {
            width: 2,
            height: 2,
            rgb: &[0; 11],
        };
        assert!(
            prepare(
                &step(Resize::Stretch, ImageLayout::Nchw, Channels::Rgb),
                &image,
                DType::F32
            )
            .is_err()
        );
    }
}
