"""The `qdr` command: its verbs in groups, and what an exit code means.

What a verb takes and does stands in `qdr.verbs`, a file per group; each imports what it needs when it runs, so that
`qdr --help` answers at once. Colours go to terminals alone and are left out where NO_COLOR is set (rich does both).
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from qdr.errors import QdrError
from qdr.verbs import data, many, measure, quantize, report, train, use
from qdr.verbs.parser import Front

ABOUT = "Quantization-aware Distilled Restoration: benchmark suite and reference implementation."
EXIT_CODES = """exit codes:
  0    done
  1    done in part: some files could not be restored, were passed over or are not whole (they
       are named at the end), `qdr compare --fail-on` found what it was to fail on, or `qdr quantize
       --max-drop` could not be kept, or `qdr doctor` found no right engine or a file whose pictures
       are wrong
  2    a mistake in the command, the input or the environment: one line on stderr says what and
       what to do (QDR_TRACEBACK=1 shows the traceback above it)
  130  interrupted by Ctrl-C (143: by SIGTERM): run the same command again to go on"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code.

    torch computes with one thread, unless the environment says otherwise: bits then depend on no number of cores, and
    threads wait for no others. Work is spread over processes instead (`qdr.suite.processes`, `qdr.suite.train.pool`).
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may have what the terminal's encoding has not
    options, extra = parser().parse_known_args(arguments)
    if extra:
        options.parser.refuse(extra)
    verb: Callable[[argparse.Namespace], int | None] = options.verb
    try:
        return verb(options) or 0
    except QdrError as error:
        return _refused(str(error))
    except BrokenPipeError:  # `qdr data status | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno is None:
            raise
        return _refused(f"{error.filename or 'file system'}: {error.strerror}")
    except KeyboardInterrupt as error:
        print("qdr: interrupted; run the same command again to go on", file=sys.stderr)
        return 128 + getattr(error, "signal", signal.SIGINT)


def _refused(why: str) -> int:
    """Print the line of an error that is being handled, below its traceback where that was asked for; its exit code."""
    if os.environ.get("QDR_TRACEBACK"):
        traceback.print_exc()
    print(f"qdr: error: {why}", file=sys.stderr)
    return 2


def parser() -> Front:
    """The command line, in the order of the pipeline."""
    front = Front(ABOUT, EXIT_CODES)
    front.add_argument("--version", action=use.ShowVersion, help="show the version")
    for group in (data, train, many, measure, report, quantize, use):
        group.declare(front)
    return front


if __name__ == "__main__":
    sys.exit(main())
