"""The embedded model: a Qwen3 of under a million parameters, its tokenizer, warm-start recipe and shipped weights.

What it is trained on are the demonstrations of Word Count (tasks/word_count). No other model is made here.
"""
