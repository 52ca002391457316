from __future__ import annotations

from pathlib import Path

import pytest

from qdr.distill.balancers import BALANCERS
from qdr.distill.distances import DECODED, DISTANCES
from qdr.distill.points import PLACES
from qdr.errors import QdrError
from qdr.quant.observers import OBSERVERS, WEIGHT_OBSERVERS
from qdr.quant.quantizers import QUANTIZERS
from qdr.quant.reconstruct import METHODS
from qdr.suite.export.published import TOOLS
from qdr.suite.methods import NONE, catalogue, recipe
from qdr.suite.report.style import colour
from qdr.suite.zoo import NETWORKS


def test_every_name_in_the_catalogue_exists() -> None:
    for name, found in catalogue().items():
        assert found.model in NETWORKS, name
        assert found.quantizer in (NONE, *QUANTIZERS), name
        assert found.observer in OBSERVERS, name
        assert found.weight_observer in WEIGHT_OBSERVERS, name
        assert found.balance in BALANCERS, name
        assert found.distance in (*DISTANCES, DECODED), name
        assert found.reconstruct in (NONE, *METHODS), name
        assert set(found.places) <= set(PLACES), name
        assert found.tool in (NONE, *TOOLS), name
        assert colour(name).startswith("#")


def test_every_part_is_used_by_a_method() -> None:
    methods = catalogue().values()
    for key, names in {
        "quantizer": list(QUANTIZERS),
        "balance": BALANCERS,
        "observer": OBSERVERS,
        "reconstruct": METHODS,
        "distance": [*DISTANCES, DECODED],
        "tool": TOOLS,
    }.items():
        assert set(names) <= {getattr(method, key) for method in methods}, key


def test_a_variation_changes_one_key() -> None:
    base, varied = recipe("qdr"), recipe("qdr@weight=3,distance=l2")
    assert (varied.weight, varied.distance) == (3.0, "l2")
    assert varied.label == f"{base.label} (weight=3,distance=l2)"
    assert {k for k in vars(base) if getattr(base, k) != getattr(varied, k)} == {"weight", "distance", "label"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {label: A, quantizr: lsq}", "unknown key a.quantizr: did you mean 'quantizer'"),
        ("a: {quantizer: lsq}", r"missing key a\.label"),
        ("a: {label: A, start: fp64}", "a.start: 'fp64' is not an FP32 method"),
        ("a: {label: A, start: scratch, places: [output]}", "has no teacher"),
        ("a: {label: A, granularity: pixel}", "must be 'channel' or 'tensor'"),
        ("a: {label: A, additions: fp16}", "a.additions must be 'int8' or 'float', got 'fp16'"),
        ("a: {label: A, learns: steps}", "a.learns must be 'all' or 'scales', got 'steps'"),
        ("a: {label: A, weight_observer: percentile}", "a.weight_observer must be 'minmax' or 'mse', got 'percentile'"),
        ("fp32: {label: F, start: scratch}\na: {label: A, labels: false}", "the teacher's output is the target"),
        ("a: {label: A, quantizer: lsq, reconstruct: qdrop}", "are for quantized models without training"),
        ("a: {label: A, trains: false, equalize: true}", "are for quantized models without training"),
        ("[]", "must be a mapping"),
    ],
)
def test_mistakes_in_the_catalogue_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "methods.yaml"
    path.write_text(text if text.startswith(("fp32", "[")) else f"fp32: {{label: F, start: scratch}}\n{text}")
    with pytest.raises(QdrError, match=message):
        catalogue(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qrd@weight=4", "did you mean 'qdr'"),
        ("qdr@wieght=4", "did you mean 'weight'"),
        ("qdr@weight=heavy", "must be float, got 'heavy'"),
    ],
)
def test_mistakes_in_a_variation_are_named(name: str, message: str) -> None:
    with pytest.raises(QdrError, match=message):
        recipe(name)
