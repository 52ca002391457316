"""The methods: what each trains and what it learns from, read from methods.yaml.

A method is one line there; `qdr@weight=4` is the method `qdr` with one key changed, wherever a method is named. The names in
it (model, quantizer, observers, places, distance, balance, tool) are those of one dict per kind: `qdr.suite.zoo.NETWORKS`,
`qdr.quant.quantizers.QUANTIZERS`, `qdr.quant.observers.OBSERVERS`, `qdr.quant.reconstruct.METHODS`,
`qdr.distill.distances.DISTANCES`, `qdr.distill.balancers.BALANCERS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from qdr.errors import QdrError, check_choice
from qdr.quant.policy import QuantizerConfig
from qdr.suite.paths import project_root
from qdr.suite.strict import build, parse_yaml, read_yaml

SCRATCH = "scratch"
NONE = "none"


@dataclass(frozen=True)
class Recipe:
    """What a method does.

    Args:
        label: name in tables and figures.
        model: network of `qdr.suite.zoo`.
        start: the FP32 method whose weights it starts from; "scratch" is a teacher itself.
        quantizer: how scales are learned, or "none" for FP32.
        granularity: "channel" or "tensor", for weights.
        observer: how the scales of activations are calibrated.
        weight_observer: how those of weights are, "minmax" or "mse".
        additions: "int8", or "float": the residual stream stays in floating point.
        trains: False stops after calibration (PTQ).
        learns: "all", or "scales": the weights stay, the quantizers' steps alone are trained.
        equalize: cross-layer equalisation before calibration, bias correction after.
        reconstruct: after calibration, a name of `qdr.quant.reconstruct.METHODS`, or "none".
        places: where it distils: output, encoder, bottleneck, decoder, all.
        distance: between student's and teacher's features.
        balance: how the losses are weighed.
        weight: of distillation; LMR reads it as the wanted share of the gradient at the bottleneck.
        fade: the share of the steps over which the weight of distillation falls to 0, linearly; 0: it does not.
        teacher: the FP32 method it learns from; "self" is the one it starts from.
        labels: whether it sees clean targets; without them the teacher's output is the only target.
        tool: a published quantizer that takes the FP32 file instead ("onnxruntime", "nncf").
    """

    label: str
    model: str = "efm"
    start: str = "fp32"
    quantizer: str = NONE
    granularity: str = "channel"
    observer: str = "mse"
    weight_observer: str = "mse"
    additions: str = "int8"
    trains: bool = True
    learns: str = "all"
    equalize: bool = False
    reconstruct: str = NONE
    places: list[str] = field(default_factory=list)
    distance: str = "relative-l1"
    balance: str = "fixed"
    weight: float = 0.0
    fade: float = 0.0
    teacher: str = "self"
    labels: bool = True
    tool: str = NONE

    @property
    def quantization(self) -> QuantizerConfig:
        """Quantizer and observers, as `qdr.quantize` takes them."""
        return QuantizerConfig(self.quantizer, self.granularity, self.observer, self.weight_observer, self.additions)

    @property
    def quantized(self) -> bool:
        return self.quantizer != NONE or self.tool != NONE

    @property
    def scratch(self) -> bool:
        """Whether it is an FP32 teacher, trained from random weights."""
        return self.start == SCRATCH


def catalogue(path: Path | None = None) -> dict[str, Recipe]:
    """Every method by name, in the order of the tables, `input` (the degraded image itself) first."""
    return _read(path or project_root() / "methods.yaml")


def recipe(method: str) -> Recipe:
    """The recipe of a method, or of a variation of one: `name@key=value,key=value` changes those keys.

    Raises:
        QdrError: on an unknown method or key, or a value of the wrong type.
    """
    return _vary(project_root() / "methods.yaml", method)


@cache
def _vary(path: Path, method: str) -> Recipe:
    methods = catalogue(path)
    name, _, changes = method.partition("@")
    check_choice("method", name, methods)
    base = methods[name]
    if not changes:
        return base
    pairs = [change.partition("=") for change in changes.split(",")]
    changed = vars(base) | {key: parse_yaml(value, f"{method}: {value!r}") for key, _, value in pairs}
    varied = build(Recipe, changed | {"label": f"{base.label} ({changes})"}, method)
    _check(method, varied, methods)
    return varied


@cache
def _read(path: Path) -> dict[str, Recipe]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise QdrError(f"{path} must be a mapping of method names")
    try:
        found = {str(name): build(Recipe, entry, str(name)) for name, entry in data.items()}
        for name, recipe in found.items():
            _check(name, recipe, found)
    except QdrError as error:
        raise QdrError(f"{path.name}: {error}") from error
    return {"input": Recipe("Degraded input")} | {n: replace(r, teacher=_teacher(r)) for n, r in found.items()}


def _teacher(recipe: Recipe) -> str:
    return recipe.start if recipe.teacher == "self" else recipe.teacher


def _check(name: str, recipe: Recipe, found: dict[str, Recipe]) -> None:
    for key, other in (("start", recipe.start), ("teacher", recipe.teacher)):
        if other not in (SCRATCH, "self") and not (other in found and found[other].scratch):
            raise QdrError(f"{name}.{key}: {other!r} is not an FP32 method trained from scratch")
    for key, choices in (
        ("granularity", ("channel", "tensor")),
        ("weight_observer", ("minmax", "mse")),
        ("additions", ("int8", "float")),
        ("learns", ("all", "scales")),
    ):
        if (value := getattr(recipe, key)) not in choices:
            raise QdrError(f"{name}.{key} must be {' or '.join(map(repr, choices))}, got {value!r}")
    if recipe.scratch and recipe.places:
        raise QdrError(f"{name}: a method trained from scratch has no teacher; drop `places` or set `start`")
    if (recipe.equalize or recipe.reconstruct != NONE) and (recipe.quantizer == NONE or recipe.trains):
        raise QdrError(f"{name}: `equalize` and `reconstruct` are for quantized models without training: `trains: false`")
    if not recipe.labels and "output" not in recipe.places:
        raise QdrError(f"{name}: without labels the teacher's output is the target; add 'output' to `places`")
