"""The kinds on which remedies are chosen; everything else is in `instructions`."""
