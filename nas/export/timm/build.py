"""Builds the network in network.json with timm, with the weights beside it: needs torch, timm and safetensors.

    from build import build
    model = build()  # a torch.nn.Module in evaluation mode, images [N, C, H, W]

`python build.py IMAGES.npy LOGITS.npy` writes the logits of images [N, H, W, C].
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm.models.efficientnet
import timm.models.mobilenetv3
import torch
from safetensors.torch import load_file
from timm.layers import get_act_layer
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from torch.nn import BatchNorm2d

HERE = Path(__file__).resolve().parent
CLASSES = {
    "MobileNetV3": timm.models.mobilenetv3.MobileNetV3,
    "EfficientNet": timm.models.efficientnet.EfficientNet,
}


def build(folder: Path = HERE) -> Any:
    """Return the network in `folder` with its weights."""
    network = json.loads((folder / "network.json").read_text())
    excite = network["squeeze_excite"]
    model = CLASSES[network["class"]](
        decode_arch_def(network["arch_def"]),
        act_layer=get_act_layer(network["act"]),
        norm_layer=partial(BatchNorm2d, eps=network["norm_eps"]),
        se_layer=partial(
            SqueezeExcite, force_act_layer=get_act_layer(excite["act"]), gate_layer=get_act_layer(excite["gate"])
        ),
        round_chs_fn=partial(round_channels, multiplier=0),  # channels as they are written
        **network["settings"],
    )
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def main() -> None:
    """Write the logits of the images that the command line names."""
    images, logits = sys.argv[1:]
    batch = torch.from_numpy(np.load(images).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        np.save(logits, build()(batch).numpy())


if __name__ == "__main__":
    main()
