"""Where distillation taps a network: named places, read by forward hooks.

FACT (arXiv 2603.09624): Decoder-Free Distillation acts strictly at the bottleneck, because distilling the decoder
amplifies spatial error. The other places are its rivals: `output`, `encoder`, `decoder` (each level) and `all` (the
features of the three).
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qdr.errors import check_choice

Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]
OUTPUT, BOTTLENECK = "output", "bottleneck"
PLACES: dict[str, tuple[str, ...]] = {
    OUTPUT: (),
    BOTTLENECK: (BOTTLENECK,),
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "all": ("encoder", BOTTLENECK, "decoder"),
}


def modules_at(model: nn.Module, place: str) -> list[str]:
    """Names of the modules whose outputs a place taps: one per level for the encoder and the decoder.

    A network names its parts `encoder`, `bottleneck` and `decoder`, or says in `parts` what it calls them.
    """
    check_choice("distillation place", place, PLACES)
    own: dict[str, str] = getattr(model, "parts", {})
    names: list[str] = []
    for part in PLACES[place]:
        name = own.get(part, part)
        module = model.get_submodule(name)
        names += [f"{name}.{i}" for i in range(len(module))] if isinstance(module, nn.ModuleList) else [name]
    return names


class Taps:
    """Collects the outputs of named modules while it is open: `with Taps(model, names) as taps: model(x)`.

    `taps.features` maps each name to the latest output, in the order of the forward pass.
    """

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        self.features: dict[str, Tensor] = {}
        self._model, self._names = model, names
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Taps:
        for name in self._names:
            self._hooks.append(self._model.get_submodule(name).register_forward_hook(self._keep(name)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep(self, name: str) -> Hook:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.features[name] = output

        return hook


class Stop(Exception):
    """Raised by `run_to` to leave a forward pass."""


def run_to(model: nn.Module, names: list[str], image: Tensor) -> dict[str, Tensor]:
    """The features at `names`, without computing what lies behind the last of them."""
    missing = set(names)
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Hook:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = output
            missing.discard(name)
            if not missing:
                raise Stop

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        model(image)
    except Stop:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


def run_from(model: nn.Module, features: dict[str, Tensor], image: Tensor) -> Tensor:
    """The output of `model` on `image` with the outputs of the named modules replaced."""

    def replace(name: str) -> Callable[..., Tensor]:
        return lambda *_: features[name]

    hooks = [model.get_submodule(name).register_forward_hook(replace(name)) for name in features]
    try:
        restored: Tensor = model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return restored
