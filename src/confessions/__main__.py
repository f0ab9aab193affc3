"""`python -m confessions`."""

from confessions.cli import app

app(prog_name="confessions")
