"""A model on disk and its chat: where weights come from, how they are checked and loaded, how turns become token ids.

Nothing here samples.
"""
