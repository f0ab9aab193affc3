"""The workflow's stages, one file each: a spec (blocks.py) and files in, files out."""
