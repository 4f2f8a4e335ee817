"""Translate a network to timm without torch: block strings, settings, and the weights under timm's names.

timm, https://github.com/huggingface/pytorch-image-models, 1.0: the strings of models/_efficientnet_builder.py, the
names of models/_efficientnet_blocks.py. A new op is one function and one line here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas import ops
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Op, Shape
from nas.ops.fields import EVONORMS
from nas.ops.graph import Tensors

Array = NDArray[np.float32]
ACT_CODES: dict[Act, str] = {"relu": "re", "relu6": "r6", "hswish": "hs", "swish": "sw"}
ACT_NAMES: dict[Act, str] = {"relu": "relu", "relu6": "relu6", "hswish": "hard_swish", "swish": "swish", "gelu": "gelu"}
STEM_KERNEL, STEM_STRIDE = 3, 2
LARGEST_STRIDE = 32  # in all; beyond it timm dilates instead
EXPANDED_MULTIPLE = 8  # timm rounds expanded channels to multiples of it
INSTEAD = "timm has no block string for it; choose onnx or flax"


@dataclass
class TimmNetwork:
    """A network as timm builds it: class, block strings per stage and settings, and the tensors under timm's names."""

    kind: str
    act: Act
    norm_eps: float
    arch_def: list[list[str]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    squeeze_excite: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of network.json, without provenance."""
        return {
            "class": self.kind,
            "arch_def": self.arch_def,
            "act": ACT_NAMES[self.act],
            "norm_eps": self.norm_eps,
            "squeeze_excite": self.squeeze_excite or {"act": "relu", "gate": "sigmoid"},
            "settings": self.settings,
        }


def timm_network(arch: ArchSpec, tensors: Tensors) -> TimmNetwork:
    """Return `arch` and its weights translated to timm; `InvalidInput` names the first op that timm cannot build."""
    return _Translation(arch, tensors).network()


class _Translation:
    """The translation of one network: `found` fills up with block strings, settings and tensors."""

    def __init__(self, arch: ArchSpec, tensors: Tensors) -> None:
        self.arch, self._tensors = arch, tensors
        self.arch_ops = list(arch.iter_ops())
        self._check()
        kind = "MobileNetV3" if arch.head.hidden else "EfficientNet"
        self.found = TimmNetwork(kind, getattr(self.arch_ops[0][1], "act", "relu"), arch.norm_eps)
        scaled = [
            getattr(op, "layer_scale", None) for _, op, _ in self.arch_ops if isinstance(op, ops.UIB | ops.MobileMQA)
        ]
        self.layer_scale = kind == "MobileNetV3" and any(scaled)  # of all such blocks or of none

    def _check(self) -> None:
        """Raise `InvalidInput` where the stem or a layer is none of timm's, or the strides exceed `LARGEST_STRIDE`."""
        if any(self.arch.sequences):
            raise InvalidInput("the network takes sequences, timm's take images; choose onnx or flax")
        for position, op, _ in self.arch_ops:
            if type(op) not in BLOCK_STRINGS:
                raise InvalidInput(f"op {position} is {op.tag}; {INSTEAD}")
            if missing := _missing(op):
                raise InvalidInput(f"op {position} has {missing}; {INSTEAD}")
        position, stem, _ = self.arch_ops[0]
        if not isinstance(stem, ops.Conv) or (stem.kernel_size, stem.stride) != (STEM_KERNEL, STEM_STRIDE):
            raise InvalidInput(
                f"op {position} must be a 3 x 3 convolution of stride 2, timm's stem; choose onnx or flax"
            )
        total = 1
        for _, op, _ in self.arch_ops:
            total *= getattr(op, "stride", 1)
        if total > LARGEST_STRIDE:
            raise InvalidInput(
                f"the strides multiply to {total}, but timm's end at {LARGEST_STRIDE}; choose onnx or flax"
            )

    def network(self) -> TimmNetwork:
        """Return the translated network."""
        arch, found, head = self.arch, self.found, self.arch.head
        found.settings = {
            "num_classes": arch.num_classes, "in_chans": arch.input_shape.channels, "fix_stem": True,
            "stem_size": self.arch_ops[0][1].out_shape(arch.input_shape).channels,
            "pad_type": "" if arch.padding == "symmetric" else "same",
        }  # fmt: skip
        self.dense("0.0.conv", "conv_stem", window=True)
        self.norm("0.0.conv", "bn1")
        body = self.arch_ops[1:]
        if not head.hidden and (last := self._last_pointwise()):
            body = body[:-1]
            found.settings["num_features"] = self.arch.final_feature_map.channels
            self.dense(f"{last}.conv", "conv_head")
            self.norm(f"{last}.conv", "bn2")
        elif not head.hidden:
            found.settings["num_features"] = 0
        self._blocks(body)
        if head.hidden:
            self._head(head)
        self.put("classifier.weight", self.get("head.classifier.weight").T)
        self.put("classifier.bias", self.get("head.classifier.bias"))
        return found

    def _last_pointwise(self) -> str:
        """Return the position of a last 1 x 1 convolution, which is part of timm's head, "" where there is none."""
        position, op, _ = self.arch_ops[-1]
        fits = isinstance(op, ops.Conv) and (op.kernel_size, op.stride, op.act) == (1, 1, self.found.act)
        return position if fits and len(self.arch_ops) > 2 else ""  # timm needs a block too

    def _blocks(self, body: Sequence[tuple[str, Op, Shape]]) -> None:
        """Translate all blocks; timm strides in the first block of a stage only, so a stride begins a new stage."""
        stage = None
        for position, op, shape in body:
            first = position.partition(".")[0]
            if not self.found.arch_def or first != stage or getattr(op, "stride", 1) > 1:
                self.found.arch_def.append([])
                stage = first
            strings = self.found.arch_def[-1]
            place = f"blocks.{len(self.found.arch_def) - 1}.{len(strings)}"
            strings.append(BLOCK_STRINGS[type(op)](self, op, shape, (position, place)))

    def _head(self, head: ops.Head) -> None:
        """Translate a head with a hidden layer."""
        if head.act != self.found.act:
            raise InvalidInput(f"the head's activation {head.act} is not the stem's {self.found.act}; {INSTEAD}")
        self.found.settings |= {"num_features": head.hidden, "head_norm": head.hidden_norm, "head_bias": True}
        if self.layer_scale:
            self.found.settings["layer_scale_init_value"] = 1e-5
        self.found.settings["se_from_exp"] = True
        self.dense("head.hidden", "conv_head")
        if head.hidden_norm:
            self.norm("head.hidden", "norm_head")
        else:
            self.put("conv_head.bias", self.get("head.hidden.bias"))

    # ------------------------------------------------------------------------------------------------------- tensors

    def get(self, name: str) -> Array:
        """Return a tensor of the network."""
        return np.asarray(self._tensors(name, ()), np.float32)

    def put(self, name: str, values: Array) -> None:
        """Add a tensor under timm's name."""
        self.found.tensors[name] = np.ascontiguousarray(values, np.float32)

    def dense(self, ours: str, theirs: str, *, window: bool = False, factor: Array | None = None) -> None:
        """Add a dense convolution [k, k, in, out] or [in, out] as [out, in, k, k]."""
        weight = self.get(f"{ours}.weight") * (1 if factor is None else factor)
        self.put(f"{theirs}.weight", weight.transpose(3, 2, 0, 1) if window else weight.T[:, :, None, None])

    def depthwise(self, ours: str, theirs: str) -> None:
        """Add a depthwise convolution [k, k, C] as [C, 1, k, k]."""
        self.put(f"{theirs}.weight", self.get(f"{ours}.weight").transpose(2, 0, 1)[:, None])

    def norm(self, ours: str | Sequence[str], theirs: str, *, gamma: Array | None = None) -> None:
        """Add a normalisation, or several side by side, with the layer scale `gamma` folded in where there is one."""
        names = [ours] if isinstance(ours, str) else ours
        for key, name in (("scale", "weight"), ("bias", "bias"), ("mean", "running_mean"), ("var", "running_var")):
            values = np.concatenate([self.get(f"{one}.{key}") for one in names])
            self.put(f"{theirs}.{name}", values * gamma if gamma is not None and key in ("scale", "bias") else values)
        self.found.tensors[f"{theirs}.num_batches_tracked"] = np.zeros((), np.int64)

    def scale(self, place: str, gamma: Array | None, channels: int) -> Array | None:
        """Add a block's layer scale where timm's block has one; else return it, to be folded into a layer."""
        if not self.layer_scale:
            return gamma
        self.put(f"{place}.layer_scale.gamma", np.ones(channels, np.float32) if gamma is None else gamma)
        return None

    # ------------------------------------------------------------------------------------------- parts of block strings

    def act(self, act: Act, position: str) -> str:
        """Return the part for a block's activation, "" where it is that of the whole network."""
        if act == self.found.act:
            return ""
        if act not in ACT_CODES:
            raise InvalidInput(f"op {position} has the activation {act}, the stem {self.found.act}; {INSTEAD}")
        return f"_n{ACT_CODES[act]}"

    def skip(self, op: Any, shape: Shape) -> str:
        """Return the part that keeps timm from adding a residual, "" where it would add none or the block has one."""
        return "" if op.residual or op.out_shape(shape) != shape else "_noskip"

    def expansion(self, expanded: int, channels: int, position: str) -> str:
        """Return the part for the expanded channels: their ratio to the input channels."""
        if expanded % EXPANDED_MULTIPLE:
            raise InvalidInput(
                f"op {position} expands to {expanded} channels, timm to multiples of 8; choose onnx or flax"
            )
        return f"_e{expanded / channels:.17g}"

    def excite(self, op: Any, ratio_of: int, names: tuple[str, str]) -> str:
        """Return the part for squeeze-excite and add its tensors; all of a network must be of one kind."""
        position, place = names
        if not op.se_channels:
            return ""
        kind = {"act": ACT_NAMES.get(op.se_act, op.se_act), "gate": op.se_gate}
        if self.found.squeeze_excite not in ({}, kind) or op.se_act == "none":
            raise InvalidInput(f"op {position} has another kind of squeeze-excite than those before; {INSTEAD}")
        self.found.squeeze_excite = kind
        for ours, theirs in (("se_reduce", "conv_reduce"), ("se_expand", "conv_expand")):
            self.dense(f"{position}.{ours}", f"{place}.se.{theirs}")
            self.put(f"{place}.se.{theirs}.bias", self.get(f"{position}.{ours}.bias"))
        return f"_se{op.se_channels / ratio_of:.17g}"


def _missing(op: Op) -> str:
    """Return what layer of an op timm's block does not have, "" where it has all."""
    if getattr(op, "act", "") in EVONORMS:
        return EVONORMS[op.act]  # type: ignore[attr-defined]
    if getattr(op, "ca_channels", 0):
        return "coordinate attention"
    if isinstance(op, ops.UIB | ops.SeparableConv):
        if op.se_channels or getattr(op, "depthwise_se_channels", 0):
            return "squeeze-excite"
        if getattr(op, "mix", ()) or getattr(op, "start_mix", ()) or getattr(op, "middle_mix", ()):
            return "several kernel sizes in one depthwise"
    return ""


Names = tuple[str, str]  # of a block: its position in the architecture, its name in timm


def _conv_string(to: _Translation, op: ops.Conv, _: Shape, names: Names) -> str:
    position, place = names
    if op.act == "none":
        raise InvalidInput(f"op {position} is a convolution without activation; {INSTEAD}")
    to.dense(f"{position}.conv", f"{place}.conv", window=op.kernel_size > 1)
    to.norm(f"{position}.conv", f"{place}.bn1")
    return f"cn_r1_k{op.kernel_size}_s{op.stride}_c{op.out_channels}{to.act(op.act, position)}"


def _fused_ib_string(to: _Translation, op: ops.FusedIB, shape: Shape, names: Names) -> str:
    position, place = names
    to.dense(f"{position}.expand", f"{place}.conv_exp", window=op.kernel_size > 1)
    to.norm(f"{position}.expand", f"{place}.bn1")
    to.dense(f"{position}.project", f"{place}.conv_pwl")
    to.norm(
        f"{position}.project", f"{place}.bn2", gamma=to.get(f"{position}.project.gamma") if op.layer_scale else None
    )
    expansion = to.expansion(op.expanded_channels, shape.channels, position)
    from_expanded = to.found.kind == "MobileNetV3"
    excite = to.excite(op, op.expanded_channels if from_expanded else shape.channels, names)
    end = f"{excite}{to.act(op.act, position)}{to.skip(op, shape)}"
    return f"er_r1_k{op.kernel_size}_s{op.stride}{expansion}_c{op.out_channels}{end}"


def _uib_string(to: _Translation, op: ops.UIB, shape: Shape, names: Names) -> str:
    position, place = names
    for kernel, ours, theirs in ((op.start_dw, "start_dw", "dw_start"), (op.middle_dw, "middle_dw", "dw_mid")):
        if kernel:
            to.depthwise(f"{position}.{ours}", f"{place}.{theirs}.conv")
            to.norm(f"{position}.{ours}", f"{place}.{theirs}.bn")
    to.dense(f"{position}.expand", f"{place}.pw_exp.conv")
    to.norm(f"{position}.expand", f"{place}.pw_exp.bn")
    gamma = to.scale(place, to.get(f"{position}.project.gamma") if op.layer_scale else None, op.out_channels)
    to.dense(f"{position}.project", f"{place}.pw_proj.conv")
    to.norm(f"{position}.project", f"{place}.pw_proj.bn", gamma=gamma)
    expansion = to.expansion(op.expanded_channels, shape.channels, position)
    end = f"{to.act(op.act, position)}{to.skip(op, shape)}"
    return f"uir_r1_a{op.start_dw}_k{op.middle_dw}_s{op.stride}{expansion}_c{op.out_channels}{end}"


def _separable_conv_string(to: _Translation, op: ops.SeparableConv, _: Shape, names: Names) -> str:
    position, place = names
    to.depthwise(f"{position}.depthwise", f"{place}.conv_dw")
    to.norm(f"{position}.depthwise", f"{place}.bn1")
    to.dense(f"{position}.pointwise", f"{place}.conv_pw")
    to.norm(f"{position}.pointwise", f"{place}.bn2")
    return f"dsa_r1_k{op.kernel_size}_s{op.stride}_c{op.out_channels}{to.act(op.act, position)}"


def _inverted_residual_string(to: _Translation, op: ops.InvertedResidual, shape: Shape, names: Names) -> str:
    position, place = names
    wide = op.expanded_channels or shape.channels
    layers = ["conv_dw", "conv_pw"] if not op.expanded_channels else ["conv_pw", "conv_dw", "conv_pwl"]
    if op.expanded_channels:
        to.dense(f"{position}.expand", f"{place}.conv_pw")
        to.norm(f"{position}.expand", f"{place}.bn1")
    to.depthwise(f"{position}.depthwise", f"{place}.conv_dw")
    to.norm(f"{position}.depthwise", f"{place}.bn{len(layers) - 1}")
    to.dense(f"{position}.project", f"{place}.{layers[-1]}")
    to.norm(f"{position}.project", f"{place}.bn{len(layers)}")
    kind = (
        f"ir_r1_k{op.kernel_size}{to.expansion(wide, shape.channels, position)}"
        if op.expanded_channels
        else f"ds_r1_k{op.kernel_size}"
    )
    from_expanded = to.found.kind == "MobileNetV3"
    excite = to.excite(op, wide if from_expanded else shape.channels, names)
    return f"{kind}_s{op.stride}_c{op.out_channels}{excite}{to.act(op.act, position)}{to.skip(op, shape)}"


def _mobile_mqa_string(to: _Translation, op: ops.MobileMQA, shape: Shape, names: Names) -> str:
    position, place = names
    if op.key_dim != op.value_dim:
        raise InvalidInput(f"op {position} has {op.key_dim} key and {op.value_dim} value channels; {INSTEAD}")
    to.norm(f"{position}.norm", f"{place}.norm")
    to.dense(f"{position}.query", f"{place}.attn.query.proj")
    for one in ("key", "value"):
        if op.kv_stride > 1:
            to.depthwise(f"{position}.{one}_dw", f"{place}.attn.{one}.down_conv")
            to.norm(f"{position}.{one}_dw", f"{place}.attn.{one}.norm")
        to.dense(f"{position}.{one}", f"{place}.attn.{one}.proj")
    gamma = to.scale(place, to.get(f"{position}.output.gamma") if op.layer_scale else None, shape.channels)
    to.dense(f"{position}.output", f"{place}.attn.output.proj", factor=gamma)
    skip = to.skip(op, shape)
    return f"mqa_r1_k3_h{op.heads}_s1_v{op.kv_stride}_d{op.key_dim}_c{shape.channels}{skip}"


def _mixconv_string(to: _Translation, op: ops.MixConv, shape: Shape, names: Names) -> str:
    position, place = names
    wide = op.expanded_channels or shape.channels
    layers = ["conv_pw", "conv_dw", "conv_pwl"] if op.expanded_channels else ["conv_dw", "conv_pw"]
    parts = [("depthwise", len(op.kernel_sizes)), ("project", op.project_groups)]
    parts = [("expand", op.expand_groups), *parts] if op.expanded_channels else parts
    for number, ((ours, count), theirs) in enumerate(zip(parts, layers, strict=True), start=1):
        many = [f".{i}" for i in range(count)] if count > 1 else [""]
        for part in many:
            add = to.depthwise if ours == "depthwise" else to.dense
            add(f"{position}.{ours}{part}", f"{place}.{theirs}{part}")
        to.norm([f"{position}.{ours}{part}" for part in many], f"{place}.bn{number}")
    kind = f"ir_r1_k{_dotted(op.kernel_sizes)}" if op.expanded_channels else f"ds_r1_k{_dotted(op.kernel_sizes)}"
    if op.expanded_channels:
        grouped = f"_a{_dotted([1] * op.expand_groups)}" if op.expand_groups > 1 else ""
        kind += f"{grouped}{to.expansion(wide, shape.channels, position)}"
    kind += f"_p{_dotted([1] * op.project_groups)}" if op.project_groups > 1 else ""
    excite = to.excite(op, wide if to.found.kind == "MobileNetV3" else shape.channels, names)
    return f"{kind}_s{op.stride}_c{op.out_channels}{excite}{to.act(op.act, position)}{to.skip(op, shape)}"


def _dotted(numbers: Sequence[int]) -> str:
    """Return numbers as timm writes several kernel sizes: "3.5.7"."""
    return ".".join(map(str, numbers))


BLOCK_STRINGS: dict[type[Op], Callable[[_Translation, Any, Shape, Names], str]] = {
    ops.Conv: _conv_string,
    ops.FusedIB: _fused_ib_string,
    ops.UIB: _uib_string,
    ops.SeparableConv: _separable_conv_string,
    ops.InvertedResidual: _inverted_residual_string,
    ops.MixConv: _mixconv_string,
    ops.MobileMQA: _mobile_mqa_string,
}  # (translation, op, input shape, names) -> block string, with the tensors added to the translation
