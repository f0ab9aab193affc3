"""The embedded model: a Qwen3 of under a million parameters, its corpus, tokenizer and warm-start recipe."""
