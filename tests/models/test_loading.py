"""Whatever is wrong with a model's or an adapter's files is one line that names the file."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import get_peft_model

from confessions.config import Lora
from confessions.models import loading, sources
from confessions.runtime.errors import InputError


@pytest.fixture
def folder(random_nano, tmp_path) -> Path:
    """A copy of random_nano to damage."""
    return shutil.copytree(random_nano, tmp_path / "model")


def cut(file: Path, n_bytes: int) -> Path:
    file.write_bytes(file.read_bytes()[:n_bytes])
    return file


def error_of(action, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_whole_folder_loads(folder):
    model, tokenizer = loading.load_model(folder, "bfloat16"), loading.load_tokenizer(folder)
    assert (model.dtype, model.training, tokenizer.padding_side) == (torch.bfloat16, False, "left")


@pytest.mark.parametrize(
    "load", [loading.load_tokenizer, lambda f: loading.load_model(f, "float32"), loading.fingerprint]
)
@pytest.mark.parametrize("name", ["missing", "owner/name", "a/b/c"])
def test_a_missing_folder_is_named(tmp_path, monkeypatch, load, name):
    """Also where the name could be one on the hub."""
    monkeypatch.chdir(tmp_path)
    assert f"{name}: no model here" in error_of(load, Path(name))


@pytest.mark.parametrize("kept", [0, 5, 100, 100_000])
def test_cut_weights(folder, kept):
    """Cut anywhere: nothing, within the header's length, within the header, within the tensors."""
    file = cut(folder / "model.safetensors", kept)
    assert f"{file}: not a whole safetensors file" in error_of(loading.load_model, folder, "float32")
    assert f"{file}: not a whole safetensors file" in error_of(loading.fingerprint, folder)


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("model.safetensors", lambda f: loading.load_model(f, "float32")),
        ("tokenizer.json", loading.load_tokenizer),
    ],
)
def test_a_missing_file(folder, name, load):
    (folder / name).unlink()
    assert error_of(load, folder).startswith(f"{folder}: ")


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("config.json", lambda f: loading.load_model(f, "float32")),
        ("tokenizer.json", loading.load_tokenizer),
    ],
)
def test_a_cut_json_file(folder, name, load):
    cut(folder / name, 40)
    assert error_of(load, folder).startswith(f"{folder}: ")


def test_a_tokenizer_of_another_model(folder):
    """Its highest id has no row in the embedding; a smaller vocabulary than the embedding's is fine (Qwen3)."""
    config = json.loads((folder / "config.json").read_text())
    size = config["vocab_size"]
    for other, fits in ((size - 1, False), (size, True), (size + 267, True)):
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": other}))
        if fits:
            loading.load_tokenizer(folder)
        else:
            message = error_of(loading.load_tokenizer, folder)
            assert message.startswith(f"{folder}: the tokenizer has ids up to {size - 1}, the model an embedding of")


def test_no_chat_template(folder):
    (folder / "chat_template.jinja").unlink()
    message = error_of(loading.load_chat, folder, True)
    assert message == f"the tokenizer in {folder} has no chat template: use an instruct model"


@pytest.mark.parametrize(("named", "more"), [(None, []), (7, [7]), ([7, 9], [7, 9])])
def test_every_end_of_turn_comes_from_one_place(folder, named, more):
    """generation_config.json's, the tokenizer's, the template's."""
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    chat = loading.load_chat(folder, True)
    assert chat.eos == sorted({*more, chat.tokenizer.eos_token_id})
    (folder / "generation_config.json").unlink()
    assert loading.load_chat(folder, True).eos == [chat.tokenizer.eos_token_id]


def test_recommended_sampling(folder):
    file = folder / "generation_config.json"
    file.write_text(json.dumps({"temperature": 0.6, "top_p": 0.95, "do_sample": True, "repetition_penalty": 1.0}))
    assert loading.recommended_sampling(folder) == {"temperature": 0.6, "top_p": 0.95, "top_k": 0}
    file.write_text(json.dumps({"temperature": 0.7, "top_p": 0.8, "top_k": 20}))
    assert loading.recommended_sampling(folder) == {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
    file.write_text(json.dumps({"temperature": 0.7, "repetition_penalty": 1.05}))
    assert "recommends repetition_penalty 1.05, which is not supported" in error_of(
        loading.recommended_sampling, folder
    )
    file.write_text("{}")
    assert "recommends no sampling; set evaluation.sampling" in error_of(loading.recommended_sampling, folder)
    file.write_text("{")
    assert f"{file}: cannot be read" in error_of(loading.recommended_sampling, folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", "hot"), ("temperature", 0.0), ("temperature", -1.0), ("top_p", 7), ("top_k", -1), ("top_k", 2.5)],
)
def test_recommended_sampling_that_nobody_can_follow(folder, name, value):
    (folder / "generation_config.json").write_text(json.dumps({name: value}))
    assert f"generation_config.json recommends {name} {value!r} (" in error_of(loading.recommended_sampling, folder)


@pytest.mark.parametrize("ids", ["x", -1, True, {}, [1, "a"], 1.5])
def test_an_end_of_turn_that_is_no_id(folder, ids):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    assert "which is no token's id" in error_of(loading.load_chat, folder, True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "the tokenizer cannot be loaded"),
        ("tokenizer.json", "null", "the tokenizer cannot be loaded"),
        ("tokenizer.json", "[" * 100_000, "the tokenizer cannot be loaded"),
        ("tokenizer_config.json", {"eos_token": 3}, "the tokenizer cannot be loaded"),
        ("tokenizer_config.json", {"tokenizer_class": 3}, "the tokenizer cannot be loaded"),
        ("tokenizer_config.json", {"model_max_length": "x"}, "the tokenizer cannot be loaded"),
        ("config.json", {"vocab_size": "x"}, "config.json describes none that transformers knows"),
        ("config.json", {"num_hidden_layers": 9}, "config.json describes none that transformers knows"),
        ("config.json", {"model_type": ["a"]}, "config.json describes none that transformers knows"),
    ],
)
def test_damaged_files_of_a_tokenizer(folder, name, content, message):
    """It is loaded before the model, and transformers reads config.json for it."""
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(json.loads(file.read_text()) | content))
    text = error_of(loading.load_chat, folder, True)
    assert text.startswith(f"{folder}: ")
    assert message in text


@pytest.mark.parametrize(
    "template",
    [
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{{ 'x' * 10**15 }}",
        "{{ '\\ud800' }}",
        "{{ nothing.at.all }}",
    ],
)
def test_a_template_that_ends_in_any_way(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    assert "cannot be used for user" in error_of(lambda: loading.load_chat(folder, True).eos)


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 48}))
    assert error_of(loading.load_model, folder, "float32").startswith(f"{folder}: the model cannot be loaded")


def test_fingerprint_tells_bases_apart(random_nano, folder):
    """A copy has the same; one changed number, in the middle or at the end of the file or in the config, another."""
    base = loading.fingerprint(random_nano)
    assert loading.fingerprint(folder) == base
    file, config = folder / "model.safetensors", folder / "config.json"
    whole, text = file.read_bytes(), config.read_text()
    for at in (len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert loading.fingerprint(folder) != base
    file.write_bytes(whole)
    config.write_text(text.replace('"hidden_act": "silu"', '"hidden_act": "gelu"'))
    assert loading.fingerprint(folder) != base


def test_an_adapter_of_this_base_passes(random_nano, folder, random_adapter):
    loading.check_adapter(random_adapter(1), random_nano)
    loading.check_adapter(random_adapter(1), folder)  # a copy is the same base


def test_a_missing_adapter(random_nano, tmp_path):
    assert f"{tmp_path}: no adapter here" in error_of(loading.check_adapter, tmp_path, random_nano)


@pytest.mark.parametrize("kept", [0, 100, 4000])
def test_a_cut_adapter(random_nano, random_adapter, kept):
    file = cut(random_adapter(1) / "adapter_model.safetensors", kept)
    assert f"{file}: not a whole safetensors file" in error_of(loading.check_adapter, file.parent, random_nano)


def test_an_adapter_of_another_base(folder, random_adapter):
    adapter, file = random_adapter(1), folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"{adapter}: this adapter was trained on another base model than {folder}" in error_of(
        loading.check_adapter, adapter, folder
    )


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_an_adapter_of_an_unknown_base(random_nano, random_adapter, content):
    file = random_adapter(1) / loading.BASE_FILE
    file.unlink() if content is None else file.write_text(content)
    assert f"{file.parent}: {loading.BASE_FILE} is missing or damaged" in error_of(
        loading.check_adapter, file.parent, random_nano
    )


@pytest.mark.parametrize("content", [None, "{"])
def test_an_adapter_without_its_settings(random_nano, random_adapter, content):
    file = random_adapter(1) / "adapter_config.json"
    file.unlink() if content is None else file.write_text(content)
    assert f"{file.parent}: {file.name} is missing or damaged" in error_of(
        loading.check_adapter, file.parent, random_nano
    )


def test_an_adapter_whose_base_is_missing(random_adapter, tmp_path):
    assert f"{tmp_path}/gone: no model here" in error_of(loading.check_adapter, random_adapter(1), tmp_path / "gone")


def test_a_folder_source_is_linked(random_nano, tmp_path):
    """Also over what an earlier run left there; the linked folder itself is never touched."""
    out = tmp_path / "results" / "policy"
    for _ in range(2):
        sources.build({"kind": "folder", "path": str(random_nano)}, out)
        assert out.resolve() == random_nano.resolve()
    out.unlink()
    shutil.copytree(random_nano, out)
    sources.build({"kind": "folder", "path": str(random_nano)}, out)
    assert out.is_symlink()
    assert [p.name for p in out.parent.iterdir()] == ["policy"]
    loading.load_model(out, "float32")


def test_a_folder_source_that_is_missing_leaves_the_old_model(random_nano, tmp_path):
    out = tmp_path / "policy"
    sources.build({"kind": "folder", "path": str(random_nano)}, out)
    message = error_of(sources.build, {"kind": "folder", "path": str(tmp_path / "gone")}, out)
    assert f"{tmp_path}/gone: no model here" in message
    assert out.resolve() == random_nano.resolve()


class _Reversed(set):
    """A set in another order, as another process' hashes would have it."""

    def __iter__(self):
        return iter(sorted(super().__iter__(), reverse=True))


def test_equal_adapters_are_written_alike(model, random_nano, tmp_path):
    adapted = get_peft_model(model, loading.lora_config(Lora(rank=2, alpha=4, target_modules="all-linear")))
    config = adapted.peft_config["default"]
    assert isinstance(config.target_modules, set)
    for number, kind in enumerate((set, _Reversed)):
        config.target_modules = kind(config.target_modules)
        loading.save_adapter(adapted, tmp_path / str(number), "base")
    first, second = ((tmp_path / name / "adapter_config.json").read_bytes() for name in "01")
    assert first == second
    assert json.loads(first)["target_modules"] == sorted(config.target_modules)
