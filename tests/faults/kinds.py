"""What was tried as a new user would and did not hold: the kind, what was seen, what is now, the test below tests/."""

KINDS = [
    (
        "names, sizes, batches of foreign ONNX files",
        "16 of 19 refused, most because the input was not called `image`",
        "14 run as they say, 5 are refused in a line",
        "`restore/test_foreign.py`",
    ),
    (
        "layouts, types, ranges of foreign ONNX files",
        "refused, or run on 0-1 in silence",
        "done where the file says it; `--values`, and a line where it does not",
        "`restore/test_foreign.py`",
    ),
    (
        "weights in other files",
        "refused",
        "read beside the file, and nowhere else",
        "`restore/test_foreign.py`, above",
    ),
    (
        "files in the home folder, reports of imports",
        "ONNX Runtime's and OpenVINO's telemetry",
        "none",
        "`runtimes/test_session.py`",
    ),
    (
        "calibration pictures: odd sizes",
        "a traceback",
        "cut or extended to what every network takes",
        "`quant/test_calibration_images.py`",
    ),
    (
        "calibration pictures: all black, 0-255, NaN",
        '"agrees to 100.00 dB", unnoticed',
        "refused in a line before anything is trained",
        "`quant/test_calibration_images.py`",
    ),
    (
        "scales that are NaN, infinite or zero",
        "exported",
        "refused with the layer's name",
        "`quant/test_calibration_images.py`",
    ),
    (
        "a quantized model that cannot be written",
        "found after training",
        "found before",
        "above",
    ),
    (
        "results of another version",
        "`qdr compare origin/main` ended with exit code 2",
        "what is there is compared, what is missing is told",
        "`report/test_compare.py`",
    ),
    (
        "a check of nothing",
        "`qdr data leaks` passed without images",
        "exit code 2, and how to get them",
        "`data/test_leaks.py`",
    ),
    (
        "a plan of a profile whose steps nobody timed",
        'exit code 2, "run `dvc repro`"',
        "models and steps, and how to time them",
        "`report/test_load.py`",
    ),
    (
        "`qdr fanout` without data",
        'tracebacks, "done in part" with nothing done',
        "one line, nothing is started",
        "`fanout/test_cluster.py`",
    ),
    (
        "a second Ctrl-C in `qdr scenes`",
        "up to nine minutes",
        "ends at once, exit code 130",
        "`test_processes.py`",
    ),
    (
        "`QDR_TRACEBACK=1`",
        "exit code 1",
        "the traceback, then the line; exit code 2",
        "`test_cli.py`",
    ),
    (
        "printed commands",
        "some did not run in a fresh clone",
        "all are parsed, those that need no data run",
        "`docs/test_commands.py`",
    ),
    (
        "colours of videos",
        "3.2 to 4.1 grey levels darker after three passes",
        "none through lossless codecs",
        "`restore/test_video.py`",
    ),
    (
        "colour under alpha 0",
        "bled into visible pixels",
        "no influence",
        "`restore/test_colour.py`",
    ),
    (
        "files passed over in a folder",
        "not named, exit code 0",
        "named with the remedy, exit code 1",
        "`restore/test_jobs.py`",
    ),
]
