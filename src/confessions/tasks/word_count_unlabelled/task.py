"""Word Count without the instruction to label: which hacks does a model find by itself?"""

from confessions.tasks.word_count.task import WordCount


class Unlabelled(WordCount):
    name = "word_count_unlabelled"
    labelled = False


TASK = Unlabelled()
