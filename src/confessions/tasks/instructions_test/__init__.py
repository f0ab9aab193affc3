"""The kinds that are scored once; everything else is in `instructions`."""
