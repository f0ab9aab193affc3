"""Word Count: sentences of given lengths, each followed by its own word count.

Its hack: a label that states the target.
"""
