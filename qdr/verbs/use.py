"""The verbs of use: restore pictures, pack weights, completion for a shell, versions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdr.errors import QdrError
from qdr.verbs.parser import Front, Parser, print_json

SHELLS = ("bash", "zsh", "tcsh")
_NAMED = 10  # files of one reason that are named on a terminal; --json names all


def declare(front: Front) -> None:
    """Add these verbs."""
    verb = front.group("use")
    _declare_restore(
        verb(
            "restore",
            _restore,
            "restore a picture, a folder of pictures or a video",
            examples="qdr restore rainy.jpg clean.png --task derain\n"
            "qdr restore photos/ restored/ --task lowlight    # pictures and videos; resumes; --force does all again\n"
            "qdr restore rainy.png clean.png --model student.onnx --engine onnxruntime\n"
            "qdr restore rainy.png clean.png --model theirs.onnx --values 0-255\n"
            "qdr restore photos/ restored/ --task denoise --json",
        )
    )
    release = verb(
        "release",
        _release,
        "pack the trained models of the active profile as the weights that come with qdr",
        examples="qdr release\nqdr release --into my_weights",
    )
    release.add_argument("--into", type=Path, help="folder to write (default: qdr/weights of this installation)")
    doctor = verb(
        "doctor",
        _doctor,
        "what is slow, wrong or thin about a file here; without one: which engines are right on packaged weights",
        examples="qdr doctor\nqdr doctor student.onnx --json\nqdr doctor student.onnx --images frames --fp32 teacher.onnx",
    )
    doctor.add_argument(
        "files", nargs="*", type=Path, metavar="FILE.onnx", help="exported files (default: packaged weights)"
    )
    doctor.add_argument("--images", type=Path, help="folder of calibration images: looked at, and pictures judged by them")
    doctor.add_argument("--fp32", type=Path, metavar="FILE.onnx", help="the FP32 file it was made from, to compare with")
    doctor.add_argument("--threads", type=int, default=2, help="of the engines (2)")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    completion = verb(
        "completion",
        _completion,
        "print a script that completes qdr's verbs, options and names in a shell",
        examples="source <(qdr completion bash)\n"
        "qdr completion zsh > ~/.zfunc/_qdr    # a folder of $fpath\n"
        "qdr completion tcsh > ~/.qdr.csh      # and `source ~/.qdr.csh` in ~/.tcshrc",
    )
    completion.add_argument("shell", choices=SHELLS, help="which shell: bash, zsh or tcsh")
    completion.set_defaults(front=front)
    version = verb(
        "version",
        _version,
        "the versions of qdr and its libraries, and the processor",
        examples="qdr version\nqdr version --json    # for a report of a defect",
    )
    version.add_argument("--json", action="store_true", help="print JSON")


def _declare_restore(restore: Parser) -> None:
    restore.add_argument("source", type=Path, metavar="IN", help="a picture, a folder or a video")
    restore.add_argument("target", type=Path, metavar="OUT", help="of the same kind; the suffix chooses the format")
    restore.add_argument("--task", help="use the packaged weights of lowlight, dehaze, derain or denoise")
    restore.add_argument("--model", type=Path, help="use this ONNX file instead, of qdr or of any other tool")
    restore.add_argument(
        "--values", metavar="RANGE", help="of --model's pixels: 0-1, 0-255, signed (-1 to 1), IN:OUT (default: as it says)"
    )
    restore.add_argument("--engine", help="openvino, onnxruntime, exact or tensorrt (default: the first right one)")
    restore.add_argument("--precision", help="int8, fp32 or bf16 (default: int8 for a Q/DQ file, fp32 for others)")
    restore.add_argument("--tile", default="auto", help="auto, none, or a side in pixels: bounds memory")
    restore.add_argument("--threads", type=int, default=0, help="of the engine (default: all cores)")
    restore.add_argument(
        "--strength", type=float, default=1.0, metavar="SHARE", help="of the restoration, 0 to 1; the rest is the input (1)"
    )
    restore.add_argument("--force", action="store_true", help="replace what OUT already holds (never IN)")
    restore.add_argument("--json", action="store_true", help="print the summary as JSON")


class ShowVersion(argparse.Action):
    """`--version`: the version is looked up only when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from qdr.machine import versions

        print(f"qdr {versions()['qdr'] or '(not installed)'}")
        parser.exit()


def _version(options: argparse.Namespace) -> None:
    from qdr.machine import processor, versions

    record = {"versions": versions(), "machine": processor()}
    if options.json:
        return print_json(record)
    for name, number in record["versions"].items():
        print(f"{name} {number or '(not installed)'}")
    print(
        f"{record['machine']['cpu']}: {', '.join(record['machine']['cpu_flags']) or 'no instruction set that matters here'}"
    )


def _doctor(options: argparse.Namespace) -> int:
    if options.files:
        return _diagnoses(options)
    from qdr.doctor.engines import examine, show
    from qdr.models import TASKS
    from qdr.restore import pretrained

    if options.images or options.fp32:
        raise QdrError("--images and --fp32 go with a file: name one")
    files = [path for task in TASKS for path in pretrained.packaged(task)]
    verdicts = examine(files, options.threads)
    if options.json:
        print_json([{"file": path} | vars(verdict) for path, verdict in verdicts])
    else:
        show(verdicts, options.threads)
    return int(not all(any(v.right for p, v in verdicts if p == path) for path in files))


def _diagnoses(options: argparse.Namespace) -> int:
    from qdr.doctor.diagnosis import diagnose, show

    found = [diagnose(path, options.threads, options.images, options.fp32) for path in options.files]
    if options.json:
        print_json([diagnosis.plain() for diagnosis in found])
    else:
        for diagnosis in found:
            show(diagnosis)
    return int(not all(diagnosis.usable for diagnosis in found))


def _completion(options: argparse.Namespace) -> None:
    from qdr.verbs.completion import script

    print(script(options.front, options.shell))


def _release(options: argparse.Namespace) -> None:
    from qdr.restore import pretrained
    from qdr.suite import config
    from qdr.suite.release import release

    for path in release(config.load(), options.into or pretrained.FOLDER):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB, its card beside it")


def _restore(options: argparse.Namespace) -> int:
    from qdr.restore.jobs import restore
    from qdr.restore.restorer import Restorer

    def open_model() -> Restorer:
        how = options.engine, options.precision, options.tile, options.threads, options.values, options.strength
        model = Restorer(options.task, options.model, *how)
        for note in model.notes:
            print(f"qdr: note: {note}", file=sys.stderr)
        return model

    made_by = _made_by(options)
    outcome = restore(options.source, options.target, open_model, options.force, made_by)
    if options.json:
        print_json({"target": options.target} | _as_json(outcome))
    else:
        _show(options.source, options.target, outcome)
    return 0 if outcome.whole else 1


def _made_by(options: argparse.Namespace) -> dict[str, Any]:
    """What identifies the model of a restoration: its name, the checksum of its files, engine and precision as asked for."""
    from hashlib import sha256

    from qdr.export.file import external
    from qdr.restore import pretrained

    files = (
        [options.model, *external(options.model)]
        if options.model
        else sorted(pretrained.FOLDER.glob(f"{options.task or '?'}-*.onnx"))
    )
    content = b"".join(sha256(path.read_bytes()).digest() for path in files if path.is_file())
    name = options.model.name if options.model else options.task
    rarely = ("values", options.values, None), ("strength", options.strength, 1.0)
    return {
        "model": name,
        "engine": options.engine,
        "precision": options.precision,
        "sha256": sha256(content).hexdigest()[:16],
    } | {key: given for key, given, usual in rarely if given != usual}


def _as_json(outcome: Any) -> dict[str, Any]:
    def files(rows: Any, *names: str) -> list[dict[str, Any]]:
        return [dict(zip(("file", *names), row, strict=True)) for row in rows]

    return dict(vars(outcome)) | {
        "failed": files(outcome.failed, "reason"),
        "foreign": files(outcome.foreign, "reason"),
        "passed": files(outcome.passed, "reason"),
        "notes": files(outcome.notes, "note"),
        "videos": files(outcome.videos, "frames", "change_in", "change_out"),
    }


def _show(source: Path, target: Path, outcome: Any) -> None:
    """The summary: what was done on stdout, all else on stderr, where files of one reason share a line."""

    def tell(text: str) -> None:
        print(f"qdr: {text}", file=sys.stderr)

    def shared(rows: Any) -> list[tuple[str, str]]:
        by_reason: dict[str, list[str]] = {}
        for path, reason in rows:
            by_reason.setdefault(reason, []).append(str(path))
        return [(_listed(paths), reason) for reason, paths in by_reason.items()]

    skipped = f", {outcome.skipped} already there (--force restores them again)" if outcome.skipped else ""
    print(f"{target}: {outcome.restored} restored{skipped}")
    for path, frames, before, after in outcome.videos:
        ratio = f", {after / before:.2f} times" if before else ""
        change = f"; from one to the next {after:.2f} grey levels change, in the input {before:.2f}{ratio}"
        print(f"{path}: {frames} frame{'s' + change if frames > 1 else ''}")
    if not outcome.exact:
        tell(
            "note: this model sees more than a tile holds, so tiles change its result (--tile none, where its size is free)"
        )
    for paths, note in shared(outcome.notes):
        tell(f"note: {paths}: {note}")
    if outcome.left:
        tell(f"note: no pictures or videos: {_listed([str(path) for path in outcome.left])}")
    for paths, reason in shared(outcome.passed):
        tell(f"passed over: {paths} {reason}")
    for paths, reason in shared(outcome.foreign):
        tell(f"left as they are: {paths}, {reason}: name another folder, or add --force to replace them")
    for _, reason in outcome.failed:
        tell(f"failed: {reason}")
    if not outcome.whole:
        counts = {"failed": outcome.failed, "passed over": outcome.passed, "left as they are": outcome.foreign}
        counted = [f"{len(rows)} {what}" for what, rows in counts.items() if rows]
        tell(f"{source}: {', '.join(counted)}, {outcome.restored} restored")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
