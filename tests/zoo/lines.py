"""What `sanderling hash --json` prints, from standard input, as the lines that `cargo xtask everywhere` compares."""

import json
import sys

for layer in json.load(sys.stdin)["layers"]:
    if layer["digest"]:
        print("layer", layer["digest"], layer["value"])
