"""A GGUF file as transformers' model and tokenizer, with the values of its blocks as the gguf package computes them.

transformers reads the file four times (for the configuration, the weights and twice the tokenizer), and gguf's reader
makes several arrays of each of the 450,000 entries of a vocabulary. While a file is loaded here, gguf reads it once and
its lists at a stretch, and unpacks the rows of a tensor in threads. No number is changed by that.
"""

import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, TokenType
from transformers import (
    AddedToken,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

SHARE = 2**18  # numbers that a thread unpacks at once: they stay in its cache


def load(file: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, dict[str, Any]]:
    """The model of a GGUF file in `dtype`, its tokenizer, and what transformers says of loading (missing_keys, ...).

    Raises whatever the readers raise over what is in the file.
    """
    with _read_once():
        model, info = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
            trust_remote_code=False,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        tokenizer.add_tokens(_added_tokens(gguf.GGUFReader(str(file))))
    return model, tokenizer, info


@contextmanager
def _read_once() -> Iterator[None]:
    """Our reader and our threads stand in for gguf's own, where transformers looks for them at each call."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        ours = {
            "GGUFReader": cache(Reader),
            "dequantize": partial(_dequantize, threads, gguf.dequantize),
            "get_tensor_name_map": cache(gguf.get_tensor_name_map),  # made anew for each module of a model
        }
        with patch.multiple(gguf, **ours):
            yield


def _added_tokens(reader: GGUFReader) -> list[AddedToken]:
    """What a text is cut at before it is cut into tokens: transformers takes three of Qwen2's 22, and reads the others,
    <tool_call> and <|fim_prefix|> among them, as text."""
    tokens, types = (_list(reader, f"tokenizer.ggml.{name}") for name in ("tokens", "token_type"))
    added = {TokenType.CONTROL, TokenType.USER_DEFINED}
    return [AddedToken(token, normalized=False) for token, kind in zip(tokens, types, strict=False) if kind in added]


def _list(reader: GGUFReader, key: str) -> list:
    field = reader.get_field(key)
    return field.parts[-1] if field else []


class Reader(GGUFReader):
    """gguf's reader, fast with lists: one part, the list itself, of a type that transformers leaves as it is."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list, list[int], list]:
        if raw_type != GGUFValueType.ARRAY or self.byte_order != "I":
            return super()._get_field_parts(orig_offs, raw_type)
        kind, start = GGUFValueType(self._get(orig_offs, np.uint32)[0]), orig_offs + 12
        (count,) = self._get(orig_offs + 4, np.uint64).tolist()
        if kind == GGUFValueType.STRING:
            entries, end = self._strings(start, count)
        elif number := self.gguf_scalar_to_np.get(kind):
            numbers = self._get(start, number, count)
            entries, end = numbers.tolist(), start + numbers.nbytes
        else:
            raise ValueError(f"a list of {kind.name}")
        if len(entries) == 1:  # transformers takes it for the entry itself
            entries = entries[0]
        return end - orig_offs, [entries], [0], [None]

    def _strings(self, start: int, count: int) -> tuple[list[str], int]:
        """So many strings, each after its length in 8 bytes, and where they end."""
        whole, at, found = memoryview(self.data), start, []
        for _ in range(count):
            (length,) = struct.unpack_from("<Q", whole, at)
            at += 8 + length
            found.append(str(whole[at - length : at], "utf-8"))
        return found, at


def _dequantize(
    threads: ThreadPoolExecutor, gguf_dequantize: Callable, blocks: np.ndarray, kind: GGMLQuantizationType
) -> np.ndarray:
    """What `gguf.dequantize` makes of a tensor, by the same functions of gguf, a share of its rows in each thread."""
    unpacker = getattr(gguf.quants, kind.name, None)
    if unpacker is None or blocks.ndim < 2 or blocks.dtype != np.uint8:  # no blocks, or none that gguf knows
        return gguf_dequantize(blocks, kind)
    unpacker.init_grid()
    values = np.empty(gguf.quant_shape_from_byte_shape(blocks.shape, kind), dtype=np.float32)
    rows = max(1, SHARE * len(values) // values.size)

    def fill(start: int) -> None:
        values[start : start + rows] = unpacker.dequantize_rows(blocks[start : start + rows])

    list(threads.map(fill, range(0, len(values), rows)))
    return values
