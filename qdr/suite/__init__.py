"""The benchmark: its settings, data, trainings, measurements and report, on the library's names."""
