"""How fast a model's weights are checked before they are loaded.

    python benchmarks/check_weights.py [--layers 28] [--folder DIR]

A Qwen3 of random numbers with the widths of Qwen3-1.7B (28 layers: 3.4 GB in bfloat16) is written to DIR, by default a
temporary folder, in shards of 1 GB. Printed: bytes a second of `models.check_model`, first with the files dropped from
the page cache (where the system drops them on request), then from there.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from confessions.models import loading

SHAPE = {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_attention_heads": 16}
SHAPE |= {"num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True}


def drop(files: list[Path]) -> None:
    """Ask the system to forget what it holds of the files."""
    os.sync()
    for file in files:
        with file.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        config = AutoConfig.for_model("qwen3", num_hidden_layers=options.layers, **SHAPE)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, trust_remote_code=False)
        model.save_pretrained(name, max_shard_size="1GB")
        del model
        files = sorted(Path(name).glob("*.safetensors"))
        gigabytes = sum(file.stat().st_size for file in files) / 1e9
        drop(files)
        for where in ("disk", "page cache"):
            start = time.perf_counter()
            loading.check_model(Path(name), "bfloat16")
            seconds = time.perf_counter() - start
            speed = f"{gigabytes / seconds:.1f} GB/s"
            print(f"{where}: {gigabytes:.2f} GB in {seconds:.1f} s, {speed}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
