"""A GGUF file becomes the model and tokenizer that it holds: every kind of block, against gguf's own dequantisation."""

import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import torch
import trl
from safetensors.torch import load_file
from transformers import AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from confessions.config import load
from confessions.models import loading, sources

gguf = pytest.importorskip("gguf", reason="gguf is not installed: make smollm2")
from confessions.models import gguf as ours  # noqa: E402

CONFIG = load(Path(__file__).parents[2] / "config.yaml")
WIDTH, HEADS, KV_HEADS = 256, 4, 2
SCALES = {"Q4_K": (0, 2), "Q6_K": (208,)}  # bytes where a block that gguf can read and not make has its half floats
LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
KINDS = {  # every kind in the files of SmolLM2 and Qwen2.5-Coder, and the two of whole numbers
    "token_embd": "Q5_0", "output": "Q8_0", "attn_q": "Q4_K", "attn_k": "Q6_K", "attn_v": "Q4_1", "attn_output": "F16",
    "ffn_gate": "Q4_K", "ffn_up": "Q6_K", "ffn_down": "Q5_0",
}  # fmt: skip
TOKENS = [*"abcdefgh", "ab", "cd", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "<|fim_prefix|>"]
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"


def blocks(kind: str, rows: int, random: np.random.Generator) -> np.ndarray:
    """A tensor of so many rows, as a file of this kind has it."""
    kind_of, values = gguf.GGMLQuantizationType[kind], random.normal(size=(rows, WIDTH)).astype(np.float32)
    if kind not in SCALES:
        return gguf.quantize(values, kind_of)
    _, n_bytes = gguf.GGML_QUANT_SIZES[kind_of]
    made = random.integers(0, 256, (rows, n_bytes), dtype=np.uint8)
    for at in SCALES[kind]:
        made[:, at : at + 2] = random.normal(size=(rows, 1)).astype(np.float16).view(np.uint8)
    return made


def write(file: Path, architecture: str, kinds: dict[str, str] = KINDS) -> None:
    writer, random = gguf.GGUFWriter(file, architecture), np.random.default_rng(0)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    control, user = gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
    writer.add_token_types([gguf.TokenType.NORMAL] * 10 + [control] * 3 + [user, control])
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(10)
    writer.add_eos_token_id(12)
    writer.add_pad_token_id(10)
    writer.add_chat_template(TEMPLATE)
    writer.add_array("general.tags", ["one"])  # a list of one entry
    writer.add_array("general.numbers", [1.5, 2.5])
    for name, kind in kinds.items():
        rows = (
            len(TOKENS)
            if name in ("token_embd", "output")
            else WIDTH // HEADS * KV_HEADS
            if name[-1] in "kv"
            else WIDTH
        )
        place = name if name in ("token_embd", "output") else f"blk.0.{name}"
        raw = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(f"{place}.weight", blocks(kind, rows, random), raw_dtype=None if kind[0] == "F" else raw)
        if architecture == "qwen2" and name in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(f"{place}.bias", random.normal(size=rows).astype(np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", random.normal(size=WIDTH).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def name_of(tensor: str) -> str:
    """The name that transformers has for a tensor of a llama or a qwen2."""
    first, kind = tensor.split(".")[0], tensor.rsplit(".", 1)[1]
    if first == "blk":
        _, layer, part, kind = tensor.split(".")
        return f"model.layers.{layer}.{LAYER[part]}.{kind}"
    names = {"token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm"}
    return f"{names[first]}.{kind}"


def assert_is_what_gguf_reads(folder: Path, file: Path, dtype: torch.dtype) -> int:
    """Compare every number of a model folder with gguf's own reader and dequantisation; how many tensors there are."""
    held, reader = load_file(folder / "model.safetensors"), gguf.GGUFReader(file)
    llama = reader.get_field("general.architecture").contents() == "llama"
    for tensor in reader.tensors:
        values, found = gguf.dequantize(tensor.data, tensor.tensor_type), held.pop(name_of(tensor.name))
        if llama and tensor.name.endswith(("attn_q.weight", "attn_k.weight")):  # halves of a head, not pairs
            heads = reader.get_field(f"llama.attention.head_count{'_kv' * ('attn_k' in tensor.name)}").contents()
            values = values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        assert found.dtype == dtype
        assert torch.equal(found, torch.from_numpy(np.array(values)).to(dtype)), tensor.name
    assert not held
    return len(reader.tensors)


@pytest.fixture(params=["qwen2", "llama"])
def file(request, tmp_path) -> Path:
    write(tmp_path / "a.gguf", request.param)
    return tmp_path / "a.gguf"


def source_of(file: Path, **more: object) -> dict:
    return {"kind": "gguf", "package": None, "path": str(file.parent), "file": file.name} | more


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_every_kind_of_block_is_what_gguf_makes_of_it(file, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "SHARE", 10 * WIDTH)  # several shares of a tensor, the last of another size
    sources.build(source_of(file, dtype=dtype), tmp_path / "model")
    assert_is_what_gguf_reads(tmp_path / "model", file, getattr(torch, dtype or "float32"))
    loading.check_model(tmp_path / "model", dtype or "float32")


def test_numbers_that_are_no_blocks(tmp_path):
    write(tmp_path / "a.gguf", "llama", KINDS | {"ffn_up": "F32", "ffn_down": "BF16", "token_embd": "F16"})
    sources.build(source_of(tmp_path / "a.gguf"), tmp_path / "model")
    assert_is_what_gguf_reads(tmp_path / "model", tmp_path / "a.gguf", torch.float32)


def test_metadata_are_read_as_by_gguf(file):
    theirs = load_gguf_checkpoint(str(file))
    reader, dequantize = gguf.GGUFReader, gguf.dequantize
    with ours._read_once():
        assert load_gguf_checkpoint(str(file)) == theirs
        assert gguf.GGUFReader is not reader
    assert (gguf.GGUFReader, gguf.dequantize) == (reader, dequantize)
    assert theirs["tokenizer"]["tokens"] == TOKENS
    own = ours.Reader(file)
    assert own.get_field("general.tags").parts[-1] == "one"
    assert own.get_field("general.numbers").parts[-1] == [1.5, 2.5]


def test_a_file_is_read_once(file, monkeypatch):
    read = []
    monkeypatch.setattr(ours.Reader, "_build_tensors", lambda self, *given: read.append(given) or real(self, *given))
    real = gguf.GGUFReader._build_tensors
    ours.load(file, torch.float32)
    assert len(read) == 1


def test_tokens_that_stand_for_themselves(file, tmp_path):
    """And the template and end of turn that the file names."""
    sources.build(source_of(file), tmp_path / "model")
    tokenizer = loading.load_tokenizer(tmp_path / "model")
    assert tokenizer.encode("ab<tool_call>cd<|fim_prefix|><|im_end|>", add_special_tokens=False) == [8, 13, 9, 14, 12]
    assert len(tokenizer) == len(TOKENS)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.chat_template == TEMPLATE


@pytest.fixture
def gigabytes(tmp_path) -> Iterator[Path]:
    """A folder that does not stay when the test is over."""
    (tmp_path / "large").mkdir()
    yield tmp_path / "large"
    shutil.rmtree(tmp_path / "large")


def installed(key: str) -> bool:
    source = CONFIG.models[key].source
    try:
        return all(distribution(f"{source.package}{number + 1}") for number in range(source.parts))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=pytest.mark.skipif(not installed(key), reason=f"{key} is not installed: make qwen"))
        for key in ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
    ],
)
def test_qwen_from_the_package_index_alone(key, gigabytes):
    """The real files: every number, and the published template (as TRL ships it)."""
    source, out, whole = CONFIG.models[key].source.model_dump(), gigabytes / key, gigabytes / "whole.gguf"
    sources.build(source, out)
    assert [*gigabytes.iterdir()] == [out]  # the whole file is not kept
    n_tensors = assert_is_what_gguf_reads(out, sources._joined(source, whole), torch.bfloat16)
    assert n_tensors == 3 + 12 * loading.load_config(out).num_hidden_layers
    published, tokenizer = AutoTokenizer.from_pretrained(out), loading.load_tokenizer(out)
    published.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen2_5.jinja").read_text()
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    for messages in (turns, [{"role": "system", "content": "s"}, *turns]):
        said = [
            one.apply_chat_template(messages, add_generation_prompt=True)["input_ids"] for one in (tokenizer, published)
        ]
        assert said[0] == said[1]
    assert (tokenizer.eos_token, tokenizer.pad_token, len(tokenizer)) == ("<|im_end|>", "<|endoftext|>", 151_936)
