"""Weights that are not a model's own are refused by every path that would load them, in a line that names them."""

import ast
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from confessions.config import Lora
from confessions.config import load as load_config
from confessions.engines import Sampling, context, vllm
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading, weights
from confessions.runtime.errors import InputError
from confessions.scoring.judge import LabelTrusting
from confessions.training import post_training, run
from confessions.training.base import Base

Tensors = dict[str, torch.Tensor]
ROOT = Path(__file__).parents[2]
NORM, QUERY, EMBEDDING = "model.norm.weight", "model.layers.1.self_attn.q_proj.weight", "model.embed_tokens.weight"
FULL = "full_attention"
HOST = {"kind": "vllm", "gpu_memory_utilization": 0.9, "cpu_cache_gib": 0.1, "tensor_parallel_size": 1}
HOST |= {"max_model_len": None, "enforce_eager": True}


@pytest.fixture
def folder(random_nano, tmp_path) -> Path:
    """A copy of random_nano to damage."""
    return shutil.copytree(random_nano, tmp_path / "model")


@pytest.fixture
def mixture(tmp_path, tokenizer) -> Path:
    """Folder of a random Qwen3-MoE of four experts, which lie apart in its file and together in memory."""
    shape = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "moe_intermediate_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "num_experts": 4,
        "num_experts_per_tok": 2,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen3_moe", **shape))
    model.save_pretrained(tmp_path / "mixture")
    return tmp_path / "mixture"


@pytest.fixture
def started(monkeypatch) -> list[dict]:
    """What a stand-in for vLLM was started with."""
    calls, module = [], ModuleType("vllm")
    module.LLM = lambda **options: (
        calls.append(options) or SimpleNamespace(model_config=SimpleNamespace(max_model_len=8))
    )
    monitor = SimpleNamespace(set_cudagraph_capturing_enabled=lambda allowed: None)
    for name, made in (("vllm", module), ("vllm.compilation", ModuleType("")), ("vllm.compilation.monitor", monitor)):
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setattr(vllm, "require", lambda: None)
    return calls


def start_vllm(folder: Path, dtype: str) -> None:
    vllm.start(HOST, folder, dtype, SimpleNamespace(eos_token_id=0), 1)


def error_of(action: Callable, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1500
    return message


def rewrite(file: Path, change: Callable[[Tensors], None]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def reconfigure(folder: Path, **settings: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def rename(old: str, new: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[new] = tensors.pop(old)

    return change


def fill(name: str, value: float, at: int = -1) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name].view(-1)[at] = value

    return change


BROKEN = {
    "missing": (lambda t: t.pop(NORM), f"missing: '{NORM}'"),
    "all missing": (lambda t: [t.pop(name) for name in [*t]], r"missing: '.*', '.*', '.*' and \d+ more"),
    "renamed": (rename(NORM, "model.norms.weight"), f"missing: '{NORM}'; unexpected: 'model.norms.weight'"),
    "unexpected": (lambda t: t.update({"lm_head.bias": torch.zeros(2)}), "unexpected: 'lm_head.bias'"),
    "a line break in its name": (lambda t: t.update({"a\nb\x1b": torch.zeros(2)}), r"unexpected: 'a\\nb\\x1b'"),
    "an endless name": (lambda t: t.update({"9" * 50_000: torch.zeros(2)}), r"unexpected: '9{110,}\.\.\."),
    "many": (lambda t: t.update({f"x.{i}": torch.zeros(1) for i in range(12)}), "'x.0', 'x.1', 'x.2' and 9 more"),
    "transposed": (lambda t: t.update({EMBEDDING: t[EMBEDDING].T.contiguous()}), f"of another shape: '{EMBEDDING}', "),
    "flattened": (lambda t: t.update({QUERY: t[QUERY].flatten()}), rf"'{QUERY}', \[1024\] for \[32, 32\]"),
    "empty": (lambda t: t.update({NORM: torch.zeros(0)}), rf"of another shape: '{NORM}', \[0\] for \[32\]"),
    "whole numbers": (lambda t: t.update({NORM: torch.ones(32, dtype=torch.int64)}), f"another kind: '{NORM}', I64"),
    "eight bits": (lambda t: t.update({NORM: torch.ones(32).to(torch.float8_e4m3fn)}), f"kind: '{NORM}', F8_E4M3"),
    "nan": (fill(NORM, float("nan"), 0), f"not finite: '{NORM}'"),
    "nan in the middle": (fill(EMBEDDING, float("nan"), 1001), f"not finite: '{EMBEDDING}'"),
    "infinite": (fill(QUERY, -float("inf")), f"not finite: '{QUERY}'"),
    "a head that should be the embedding": (
        lambda t: t.update({"lm_head.weight": t[EMBEDDING] + 1}),
        f"tied, and yet not equal: 'lm_head.weight' and '{EMBEDDING}'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("load", [loading.load_model, start_vllm])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_weights(folder, started, load, name):
    change, message = BROKEN[name]
    rewrite(folder / "model.safetensors", change)
    text = error_of(load, folder, "float32")
    assert text.startswith(f"{folder}: the model cannot be loaded: its weights are not those")
    assert re.search(message, text)
    assert not started


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_hidden_layers": 3, "layer_types": [FULL] * 3},
            "missing: 'model.layers.2.input_layernorm.weight'",
        ),
        (
            {"num_hidden_layers": 1, "layer_types": [FULL]},
            "unexpected: 'model.layers.1.input_layernorm.weight'",
        ),
        ({"num_hidden_layers": 3}, "`num_hidden_layers` (3) must be equal to"),
        ({"vocab_size": 5000}, f"of another shape: '{EMBEDDING}'"),
        ({"hidden_size": 48}, "of another shape"),
        ({"tie_word_embeddings": False}, "missing: 'lm_head.weight'"),
        ({"num_hidden_layers": "two"}, "config.json describes none that"),
        ({"num_attention_heads": 0}, "config.json describes none that"),
        ({"vocab_size": -4}, "config.json describes none that"),
        ({"model_type": "no_such_kind"}, "config.json describes none that transformers knows"),
        ({"quantization_config": {"quant_method": "fp8"}}, "config.json has quantization_config: its weights are"),
        ({"transformers_weights": "other.safetensors"}, "config.json has transformers_weights"),
    ],
)
def test_a_configuration_of_another_model(folder, started, settings, message):
    reconfigure(folder, **settings)
    for load in (loading.load_model, start_vllm):
        text = error_of(load, folder, "float32")
        assert text.startswith(f"{folder}: the model cannot be loaded")
        assert message in text
    assert not started


def test_what_overflows_where_it_runs(folder):
    """The largest of float32 is more than bfloat16 has."""
    rewrite(folder / "model.safetensors", fill(NORM, torch.finfo(torch.float32).max))
    loading.load_model(folder, "float32")
    assert f"not finite: '{NORM}'" in error_of(loading.load_model, folder, "bfloat16")


HARMLESS = {
    "a copy of the tied head": lambda t: t.update({"lm_head.weight": t[EMBEDDING].clone()}),
    "the tied tensor under the head's name": rename(EMBEDDING, "lm_head.weight"),
    "computed buffers": lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
    "another precision": lambda t: t.update({name: tensor.bfloat16() for name, tensor in t.items()}),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_may_differ(folder, random_nano, started, name):
    rewrite(folder / "model.safetensors", HARMLESS[name])
    start_vllm(folder, "float32")
    loaded, given = (loading.load_model(f, "bfloat16").state_dict() for f in (folder, random_nano))
    assert loaded.keys() == given.keys()
    assert all(torch.equal(loaded[key], given[key]) for key in given)
    assert [options["trust_remote_code"] for options in started] == [False]


def test_transformers_own_word_counts_too(folder, monkeypatch):
    """Where our reckoning were wrong, what it filled with random numbers is refused all the same."""
    rewrite(folder / "model.safetensors", BROKEN["missing"][0])
    monkeypatch.setattr(loading, "check_model", lambda *_: None)
    assert f"missing: '{NORM}'" in error_of(loading.load_model, folder, "float32")


# The experts of a mixture: transformers stacks what it finds, in the order of the numbers in the names.
EXPERT = "model.layers.0.mlp.experts.{}.{}.weight"


def move_expert(tensors: Tensors) -> None:
    """All of expert 1 under a higher number: four are there, in another order."""
    for part in ("gate_proj", "up_proj", "down_proj"):
        rename(EXPERT.format(1, part), EXPERT.format(9, part))(tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (move_expert, "missing: 'model.layers.0.mlp.experts.1.down_proj.weight', .*; unexpected: '.*experts.9.down"),
        (lambda t: t.pop(EXPERT.format(2, "up_proj")), "missing: 'model.layers.0.mlp.experts.2.up_proj.weight'"),
        (fill(EXPERT.format(3, "up_proj"), float("nan")), "not finite: 'model.layers.0.mlp.experts.3.up_proj.weight'"),
    ],
)  # fmt: skip
def test_experts(mixture, change, message):
    loading.load_model(mixture, "float32")
    rewrite(mixture / "model.safetensors", change)
    assert re.search(message, error_of(loading.load_model, mixture, "float32"))


def test_experts_that_lie_together(mixture):
    apart = loading.load_model(mixture, "float32")
    apart.save_pretrained(mixture, save_original_format=False)
    assert "model.layers.0.mlp.experts.gate_up_proj" in load_file(mixture / "model.safetensors")
    together = loading.load_model(mixture, "float32").state_dict()
    assert all(torch.equal(tensor, together[name]) for name, tensor in apart.state_dict().items())
    rewrite(mixture / "model.safetensors", lambda t: t.pop("model.layers.0.mlp.experts.gate_up_proj"))
    assert "missing: 'model.layers.0.mlp.experts.gate_up_proj'" in error_of(loading.load_model, mixture, "float32")


@pytest.fixture
def sharded(random_nano, tmp_path) -> Path:
    folder = shutil.copytree(random_nano, tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    loading.load_model(random_nano, "float32").save_pretrained(folder, max_shard_size="50KB")
    assert len([*folder.glob("model-*.safetensors")]) > 1
    return folder


def write_index(folder: Path, content: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def index(folder: Path) -> dict[str, str]:
    return json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]


def reindex(folder: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    write_index(folder, {"metadata": {}, "weight_map": change(index(folder))})


def swapped(places: dict[str, str]) -> dict[str, str]:
    """The first tensor of the first file and one of the last, each in the other's place."""
    first, last = min(places, key=places.get), max(places, key=places.get)
    return places | {first: places[last], last: places[first]}


def first_shard(folder: Path) -> Path:
    return min(folder.glob("model-*.safetensors"))


def twice(folder: Path) -> None:
    """The last shard holds a tensor of the first as well."""
    name, tensor = next(iter(load_file(first_shard(folder)).items()))
    rewrite(max(folder.glob("model-*.safetensors")), lambda t: t.update({name: tensor + 1}))


SHARDS = {
    "a shard is missing": (lambda f: first_shard(f).unlink(), "its weight file 'model-00001-of-"),
    "a shard is cut": (lambda f: first_shard(f).write_bytes(first_shard(f).read_bytes()[:-1]), "not a whole safetens"),
    "a shard has lost a tensor": (lambda f: rewrite(first_shard(f), lambda t: t.popitem()), "missing: 'model."),
    "a tensor lies in two": (twice, "delete the wrong one"),
    "no index": (lambda f: (f / "model.safetensors.index.json").unlink(), "its weight file 'model.safetensors' is mi"),
    "a cut index": (lambda f: (f / "model.safetensors.index.json").write_text("{"), "cannot be read"),
    "an index of nothing": (lambda f: write_index(f, {"weight_map": {}}), "no map from tensors to files"),
    "an index of numbers": (lambda f: write_index(f, {"weight_map": {"a": 1}}), "no map from tensors to files"),
    "an index that leads out": (lambda f: write_index(f, {"weight_map": {"a": "../b.safetensors"}}), "'../b"),
    "an index of other places": (lambda f: reindex(f, swapped), "index.json: it says that model-0"),
    "an index of a tensor that is none": (
        lambda f: reindex(f, lambda places: places | {"model.none": min(places.values())}),
        "holds 'model.none', which it does not",
    ),
    "an index without metadata": (lambda f: write_index(f, {"weight_map": index(f)}), "metadata is missing"),
    "an older model beside it": (lambda f: shutil.copy(first_shard(f), f / "model.safetensors"), "no part of the mo"),
    "an adapter beside it": (lambda f: (f / "adapter_config.json").write_text("{}"), "an adapter lies beside the mo"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARDS)
def test_shards(sharded, random_nano, started, name):
    change, message = SHARDS[name]
    loaded, given = (loading.load_model(folder, "float32").state_dict() for folder in (sharded, random_nano))
    assert all(torch.equal(loaded[key], given[key]) for key in given)
    change(sharded)
    for load in (loading.load_model, start_vllm):
        assert message in error_of(load, sharded, "float32")
    assert not started


def test_an_index_may_name_a_copy(sharded):
    """Tied weights that an author's index has, and no file."""
    write_index(sharded, {"metadata": {}, "weight_map": index(sharded) | {"lm_head.weight": first_shard(sharded).name}})
    loading.load_model(sharded, "float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "architectures: GPT2LMHeadModel, and its model_type is run as Qwen3"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, "architectures: Qwen3ForSequenceClassification"),
        ({"rms_norm_eps": float("nan")}, "config.json is damaged"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 0.0}}, "not finite: '.*inv_freq'"),
        ({"dtype": "float7"}, "cannot be loaded"),
    ],
)
def test_a_configuration_that_computes_nothing(folder, settings, message):
    reconfigure(folder, **settings)
    text = error_of(loading.load_model, folder, "float32")
    assert text.startswith(f"{folder}: ")
    assert re.search(message, text)


def test_an_older_name_of_an_architecture(folder):
    """Falcon's authors wrote RWForCausalLM: transformers has no such class, and vLLM takes it for the same."""
    reconfigure(folder, architectures=["QwenThreeForCausalLM"])
    loading.load_model(folder, "float32")


def test_a_second_file_without_an_index(folder):
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert "consolidated.safetensors is no part of the model" in error_of(loading.load_model, folder, "float32")


# --- code that comes with a model


@pytest.mark.parametrize("kind", ["qwen3", "no_such_kind"])
def test_a_model_with_code_of_its_own(folder, monkeypatch, started, kind):
    """One line that says so, and nobody is asked, whether or not transformers has a class of that kind."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on stdin"))
    code = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "own.py").write_text("raise SystemExit('ran')\n")
    reconfigure(folder, model_type=kind, auto_map=code)
    loads = [loading.load_tokenizer, loading.fingerprint, loading.load_config, lambda f: context({}, f)]
    for load in [*loads, lambda f: loading.load_model(f, "float32"), lambda f: start_vllm(f, "float32")]:
        assert error_of(load, folder).startswith(
            f"{folder}: config.json names code of its own (auto_map), which is never"
        )
    assert not started


def test_a_tokenizer_with_code_of_its_own(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on stdin"))
    file = folder / "tokenizer_config.json"
    code = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}, "tokenizer_class": "OwnTokenizer"}
    file.write_text(json.dumps(json.loads(file.read_text()) | code))
    assert f"{folder}: tokenizer_config.json names code of its own" in error_of(loading.load_tokenizer, folder)


def test_no_call_may_run_code_of_a_model():
    """Every call that could is told not to."""
    told = []
    for file in [path for part in ("src", "benchmarks", "workflow") for path in sorted((ROOT / part).rglob("*.py"))]:
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and re.fullmatch(
                r"Auto\w+\.from_(pretrained|config)|LLM", ast.unparse(call.func)
            ):
                text = ast.unparse(call)
                assert "trust_remote_code=False" in text, f"{file}: {text}"
                told.append(text)
    assert len(told) >= 6


# --- adapters


def lora_folder(random_nano: Path, out: Path, **settings: object) -> Path:
    config = LoraConfig(**({"r": 2, "target_modules": "all-linear", "init_lora_weights": False} | settings))
    loading.save_adapter(
        get_peft_model(loading.load_model(random_nano, "float32"), config), out, loading.fingerprint(random_nano)
    )
    return out


LORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
BROKEN_ADAPTERS = {
    "missing": (lambda t: t.pop(LORA), {}, f"missing: '{LORA}'"),
    "renamed": (rename(LORA, LORA.replace("q_proj", "qq_proj")), {}, f"missing: '{LORA}'; unexpected: '.*qq_proj"),
    "of a deeper model": (
        lambda t: t.update({LORA.replace("layers.0", "layers.2"): t[LORA].clone()}), {}, "unexpected: '.*layers.2",
    ),
    "of a wider model": (lambda t: t.update({LORA: torch.ones(2, 48)}), {}, rf"'{LORA}', \[2, 48\] for \[2, 32\]"),
    "nan": (fill(LORA, float("nan")), {}, f"not finite: '{LORA}'"),
    "infinite": (fill(LORA, float("inf")), {}, f"not finite: '{LORA}'"),
    "whole numbers": (lambda t: t.update({LORA: t[LORA].long()}), {}, f"of another kind: '{LORA}', I64"),
    "another rank": (None, {"r": 4}, r"of another shape: '.*', \[2, 32\] for \[4, 32\]"),
    "another rank of some": (None, {"rank_pattern": {"q_proj": 3}}, r"'.*layers.0.*q_proj.*', \[2, 32\] for \[3, 32\]"),
    "no rank": (None, {"r": 0}, "cannot be adapted so"),
    "no strength": (None, {"lora_alpha": float("nan")}, "scales .* by nan"),
    "no strength of some": (None, {"alpha_pattern": {"q_proj": float("nan")}}, "scales .*q_proj by nan"),
    "too strong for a float": (None, {"lora_alpha": 1e308}, "scales .* by "),
    "another beginning": (None, {"init_lora_weights": "olora"}, "'olora', which may change the base model"),
    "targets of no kind": (None, {"target_modules": 3}, "cannot be adapted so"),
    "no target": (None, {"target_modules": ["nothing"]}, "target_modules names 'nothing', which the base"),
    "no target by pattern": (None, {"target_modules": "nothing.*"}, "cannot be adapted so"),
    "one target that is none": (None, {"target_modules": ["q_proj", "w_proj"]}, "target_modules names 'w_proj', which"),
    "a target within a word": (None, {"target_modules": ["q_proj", "proj"]}, "target_modules names 'proj', which"),
    "fewer targets": (None, {"target_modules": ["q_proj"]}, "unexpected: '.*layers.0.*' and"),
    "fewer layers": (None, {"target_modules": ["q_proj"], "layers_to_transform": [0]}, "unexpected: '.*layers.0.mlp.*"),
    "a target that is no layer": (None, {"target_modules": ["q_proj", "self_attn"]}, "cannot be adapted so"),
    "a parameter that is none": (None, {"target_parameters": ["experts.up"]}, "target_parameters names 'experts.up"),
    "another method": (None, {"peft_type": "NOTHING"}, "describes no LoRA adapter"),
    "weights of other kinds": (None, {"use_dora": True}, "missing: '.*lora_magnitude_vector"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_ADAPTERS)
def test_broken_adapters(random_nano, tmp_path, model, tokenizer, name):
    """By check_adapter, which comes before either engine, and by the engine itself."""
    change, settings, message = BROKEN_ADAPTERS[name]
    folder = lora_folder(random_nano, tmp_path / "adapter")
    if change:
        rewrite(folder / "adapter_model.safetensors", change)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    text = error_of(loading.check_adapter, folder, random_nano)
    assert text.startswith(f"{folder}: ")
    assert re.search(message, text)
    engine = TransformersEngine(model, tokenizer)
    assert error_of(engine.generate, [[1, 2]], Sampling(2), [0], [folder]) == text


def test_vllm_checks_its_adapters_too(random_nano, tmp_path):
    folder = lora_folder(random_nano, tmp_path / "adapter")
    rewrite(folder / "adapter_model.safetensors", fill(LORA, float("nan")))
    llm = SimpleNamespace(model_config=SimpleNamespace(model=str(random_nano), max_model_len=64))
    engine = vllm.VllmEngine(llm, SimpleNamespace(eos_token_id=0))
    assert f"not finite: '{LORA}'" in error_of(engine._check, folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": r".*\.layers\.1\.mlp\..*_proj"},
        {"target_modules": ["layers.0.self_attn.v_proj"], "rank_pattern": {"v_proj": 4}},
        {"use_dora": True, "target_modules": ["down_proj"]},
        {"layers_to_transform": [1], "target_modules": ["up_proj"]},
        {"modules_to_save": ["norm"]},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_whole_adapters(random_nano, tmp_path, settings):
    loading.check_adapter(lora_folder(random_nano, tmp_path / "adapter", **settings), random_nano)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_proj", "w_proj"], "train.lora: target_modules names 'w_proj', which the base model does not have; it has"),
        (["mlp"], "train.lora: the base model cannot be adapted so"),
    ],
)  # fmt: skip
def test_targets_are_checked_before_training(random_nano, targets, message):
    config = loading.load_config(random_nano)
    loading.check_targets(Lora(rank=2, alpha=4.0, target_modules="all-linear"), config, "train.lora")
    lora = Lora(rank=2, alpha=4.0, target_modules=targets)
    assert error_of(loading.check_targets, lora, config, "train.lora").startswith(message)


def test_both_trainings_check_their_targets_first(random_nano, tmp_path, task, monkeypatch):
    monkeypatch.setattr(loading, "load_model", lambda *_: pytest.fail("the weights were read first"))
    experiment = load_config(ROOT / "config.yaml").experiments["demo"]
    lora = Lora(rank=2, alpha=4.0, target_modules=["w_proj"])
    settings = experiment.train.model_copy(update={"lora": lora})
    base = Base(random_nano, "float32", True, "key")
    arguments = (settings, 0, task, LabelTrusting(task), base, tmp_path / "work")
    assert error_of(run.run, *arguments).startswith("train.lora: target_modules names 'w_proj'")
    source = load_config(ROOT / "config.yaml").models["smollm2-warm"].source.model_copy(update={"lora": lora})
    arguments = (source, random_nano, "float32", True, tmp_path / "work", tmp_path / "out")
    assert error_of(post_training.run, *arguments).startswith("lora: target_modules names 'w_proj'")


def test_an_outline_draws_no_random_numbers(random_nano, random_adapter):
    """A check must not change what is sampled or trained after it."""
    adapter = random_adapter(1)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    loading.check_model(random_nano, "float32")
    loading.check_adapter(adapter, random_nano)
    assert torch.equal(torch.rand(4), expected)


def test_faults_as_a_line():
    wrong = {"missing": ["'x.10'", "'x.9'", "'x.2'", "'y'"], "unexpected": []}
    assert weights.described(wrong) == "missing: 'x.2', 'x.9', 'x.10' and 1 more"
    assert weights.described({}) == ""
