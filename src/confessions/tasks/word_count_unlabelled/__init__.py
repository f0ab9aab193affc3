"""Word Count without labels: no hack is put there, and detectors (hacks/) look for those that emerge."""
