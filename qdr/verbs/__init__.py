"""What each verb of the command line takes and does: a file per group of verbs, in the order of the pipeline.

A file declares its verbs in `declare` and imports what a verb needs inside the verb, so that `qdr --help` answers at once.
"""
