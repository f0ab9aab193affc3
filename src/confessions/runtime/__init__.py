"""What every program needs whatever it is about: errors of one line, files written whole, locks, processes,
provenance.

Nothing here knows a model, a task or the workflow.
"""
