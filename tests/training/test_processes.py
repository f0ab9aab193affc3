"""Several processes compute what one does: gloo on a CPU, two processes, a group of rollouts spread over both; with an
adapter (DDP) and without (FSDP2, where accelerate takes the gloo processes for GPUs)."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from accelerate import PartialState
from accelerate.commands import launch as accelerate
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from killed import CONTEXT, Kill, differences, live, ranks
from safetensors.torch import load_file
from test_resume import (
    ADAPTERS,
    LORA,
    SHORT,
    STEPS,
    kept_steps,
    metrics,
    often_and_rewarded,
    resume_folder,
    train_command,
)
from test_trainer import SETTINGS, disturb_adapter, disturb_weights, fake_rollout, gradients, make_trainer, prepared
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM

from confessions.config import Train
from confessions.models.chat import Chat
from confessions.nano.recipe import Shape, corpus_texts, new_model
from confessions.nano.tokenizer import build_tokenizer
from confessions.pipeline.blocks import TrainSpec
from confessions.pipeline.stages import train as stage
from confessions.runtime.errors import InputError, reported
from confessions.runtime.processes import launch
from confessions.training import run as training
from confessions.training import sharding
from confessions.training.kept_rollouts import EARNED, FOLDER, read_steps

REWARDS = [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5]
LOGGED = (
    "task_reward_mean", "task_reward_std", "task_advantage_std", "task_length_mean", "task_kl", "task_clip_fraction",
    "confession_reward_mean", "confession_advantage_std", "confession_length_mean", "confession_kl", "n", "n_unmet",
)  # fmt: skip


def shard_without_gpus() -> None:
    """accelerate shards where its processes have GPUs; torch does on CPUs too."""
    arguments, sharding.require_gpus = training.trainer_arguments, lambda: None

    def said_to_be_gpus(settings, *more):
        made = arguments(settings, *more)
        if settings.sharded:
            PartialState().distributed_type = DistributedType.MULTI_GPU
        return made

    training.trainer_arguments = said_to_be_gpus


def one_step(folder: Path, n_processes: int, rank: int, lora: dict | None) -> dict:
    """Loss and gradients of this process's share of four rollouts, which are one group; what it logs."""
    model = AutoModelForCausalLM.from_pretrained(folder / "start", dtype=torch.float64)
    trainer = make_trainer(
        (model, Chat(build_tokenizer(corpus_texts()), True)), folder, prompts_per_step=1, generations=4,
        micro_batch=4 // n_processes, processes=n_processes, lora=lora,
    )  # fmt: skip
    policy = trainer.accelerator.unwrap_model(trainer.model).double()
    (disturb_adapter if lora else disturb_weights)(policy)
    part = slice(rank * 4 // n_processes, (rank + 1) * 4 // n_processes)
    with pytest.MonkeyPatch.context() as patch:
        rollouts = [fake_rollout(seed) for seed in range(4)]
        inputs = prepared(trainer, patch, rollouts[part], *(rewards[part] for rewards in REWARDS))
        # Gradients are averaged over the processes.
        model, _ = trainer.accelerator.prepare(trainer.model, trainer.create_optimizer())
        for held in filter(None, (model, trainer.ref_model)):
            assert {isinstance(weights, DTensor) for weights in held.parameters()} == {n_processes > 1 and not lora}
        with sharding.whole(model), torch.no_grad():  # as many times as it likes, whatever the others do
            logits = [model(torch.tensor([rollouts[0].x_ids])).logits for _ in range(1 + 2 * rank)][-1]
        loss = trainer.compute_loss(model, inputs)
        trainer.accelerator.backward(loss)
    logged = {name: trainer._metrics["train"][name] for name in LOGGED}
    found = {name: g.full_tensor() if isinstance(g, DTensor) else g for name, g in gradients(policy).items()}
    return {"loss": loss.item(), "gradients": found, "logged": logged, "logits": logits}


def _process(folder: Path, n_processes: int, rank: int, environment: dict[str, str], lora: dict | None) -> None:
    os.environ.update(environment)
    os.dup2(os.open(folder / f"{rank}.log", os.O_CREAT | os.O_WRONLY), 2)
    torch.set_num_threads(1)
    shard_without_gpus()
    torch.save(one_step(folder, n_processes, rank, lora), folder / f"{rank}.pt")


@pytest.mark.parametrize("lora", [SETTINGS["lora"], None], ids=["adapter", "every weight, sharded"])
def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path, lora):
    torch.manual_seed(0)
    start = new_model(
        build_tokenizer(corpus_texts()), Shape(hidden=16, layers=1, heads=2, kv_heads=2, feed_forward=16)
    ).double()
    start.save_pretrained(tmp_path / "start")
    started = [
        CONTEXT.Process(target=_process, args=(tmp_path, 2, rank, environment, lora))
        for rank, environment in enumerate(ranks(2))
    ]
    for process in started:
        process.start()
    alone = one_step(tmp_path, 1, 0, lora)
    for process in started:
        process.join()
    logs = [(tmp_path / f"{rank}.log").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in started] == [0, 0], logs
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert (first["loss"] + second["loss"]) / 2 == pytest.approx(alone["loss"], rel=1e-6)
    assert first["loss"] != pytest.approx(second["loss"], rel=1e-3)
    assert first["gradients"].keys() == alone["gradients"].keys()
    for name, gradient in alone["gradients"].items():
        assert torch.equal(first["gradients"][name], second["gradients"][name])
        torch.testing.assert_close(first["gradients"][name], gradient, rtol=1e-5, atol=1e-7)  # float32, other sums
    assert max(gradient.abs().max() for gradient in alone["gradients"].values()) > 1e-2
    for one in (first, second):
        torch.testing.assert_close(one["logits"], alone["logits"], rtol=1e-9, atol=1e-9)
    for name in LOGGED:
        assert first["logged"][name] == pytest.approx(alone["logged"][name], rel=1e-5), name


def shared_command(processes: int, lora: dict | None = LORA) -> list[str]:
    """A group of four a step."""
    command = train_command(SHORT, 1, lora)
    spec = json.loads(command[2])
    spec["train"] |= {"processes": processes, "micro_batch": 2 // processes}
    return [*command[:2], json.dumps(spec), *command[3:]]


def often_rewarded_and_sharded() -> None:
    often_and_rewarded()
    shard_without_gpus()


@pytest.mark.parametrize(
    ("lora", "kept"),
    [(LORA, [f"adapters/step_{step}/adapter_model.safetensors" for step in ADAPTERS]),
     (None, [f"models/step_{step}/model.safetensors" for step in ADAPTERS[1:]])],
    ids=["adapter", "every weight, sharded"],
)  # fmt: skip
def test_two_processes_train_as_one_and_go_on_after_a_kill(random_nano, tmp_path, lora, kept):
    """Same rollouts, same counts, weights equal but for rounding; killed and resumed, bit for bit."""
    (tmp_path / "model").symlink_to(random_nano)
    change = often_rewarded_and_sharded
    for name, processes in (("one", 1), ("two", 2)):
        assert live(shared_command(processes, lora), tmp_path / name, change, n_processes=processes)[0]
    one, two = tmp_path / "one", tmp_path / "two"
    for a, b in zip(metrics(one), metrics(two), strict=True):
        for quantity, value in a.items():
            assert b[quantity] == (pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value)
    rollouts = [read_steps(run / "out" / FOLDER, 1, STEPS) for run in (one, two)]
    assert rollouts[1]["row"].tolist() == [0, 1, 2, 3] * STEPS  # each once, whichever process sampled it
    ids = ["step", "row", "group", "seed", "y", "yc", "task_ids", "xc_ids", "confession_ids", "met", "judge_pass"]
    pd.testing.assert_frame_equal(*(frame[ids] for frame in rollouts))
    pd.testing.assert_frame_equal(*(frame[list(EARNED)] for frame in rollouts), rtol=1e-5)
    for file in kept:
        weights = [load_file(run / "out" / file) for run in (one, two)]
        assert weights[0].keys() == weights[1].keys()
        for name, tensor in weights[0].items():
            torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-5)
    log = (tmp_path / "two.log").read_text()
    assert log.count(f"| 0/{STEPS} ") == 1  # one progress bar
    assert log.count(f"{len(kept)} {'adapters' if lora else 'models'} in") == 1
    killed, kill = tmp_path / "killed", Kill(event="os.rename", ending="/checkpoint-4")
    assert not live(shared_command(2, lora), killed, change, kill, n_processes=2)[0]
    assert kept_steps(killed) == [2]
    shards = {file.name for file in resume_folder(killed).glob("checkpoint-2/*/*.distcp")}
    assert shards == ({"__0_0.distcp", "__1_0.distcp"} if not lora else set())
    assert live(shared_command(2, lora), killed, change, n_processes=2)[0]
    assert differences(killed / "out", two / "out") == ["metrics.jsonl"]
    assert metrics(killed) == metrics(two)


def test_bad_input_is_one_line_however_many_processes(tmp_path):
    """The command starts two, which both meet it; nothing is printed but the line, nothing is made."""
    with pytest.raises(AssertionError, match="error: "):
        live(shared_command(2), tmp_path / "run")
    # Beside vLLM for CPUs torch finds half of a Triton, and says so in every process.
    said = [
        line for line in (tmp_path / "run.log").read_text().splitlines() if not line.startswith("Triton is installed")
    ]
    assert said == [
        "error: ../model: no model here (config.json is missing); check models.*.source in config.yaml, or delete "
        "the folder and run snakemake again"
    ]
    assert not any((tmp_path / "run").iterdir())


def test_more_processes_than_gpus_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes, and 1 GPUs here"):
        launch(2, ["train"])


def test_the_first_line_that_a_process_left_is_said(monkeypatch, tmp_path):
    """Where none left one, the launcher's own error passes through: a process crashed."""
    failures = {}
    for rank, seconds in ((0, 20), (1, 10), (2, 30)):
        file = tmp_path / f"{rank}.json"
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
        monkeypatch.setattr(time, "time", lambda seconds=seconds: seconds)
        with pytest.raises(SystemExit), reported():
            raise InputError(f"line of {rank}")
        failures[rank] = ProcessFailure(rank, 1, 1, str(file))

    def fail(_):
        raise ChildFailedError("confessions", failures)

    monkeypatch.setattr(accelerate, "launch_command", fail)
    with pytest.raises(InputError, match=r"^line of 1$"):
        launch(3, ["train"])
    failures = {rank: ProcessFailure(rank, 1, -9, str(tmp_path / "none")) for rank in failures}
    with pytest.raises(ChildFailedError, match="SIGKILL"):
        launch(3, ["train"])


def test_another_number_of_processes_than_configured_is_one_line(random_nano, tmp_path):
    spec = TrainSpec.parse(shared_command(2)[2])
    with pytest.raises(InputError, match=r"train.processes is 2, and this run has 1: leave it to `confessions train`"):
        stage.run(spec, random_nano, tmp_path / "work", tmp_path / "out", print)


def test_sharding_is_what_a_gpu_would_be_given(tmp_path):
    """FSDP2, its checkpoints in parts, gradients reduced at every micro-batch and in float32."""
    changes = {"lora": None, "processes": 2, "micro_batch": 1, "gradient_checkpointing": True}
    settings = Train.model_validate(SETTINGS | changes)
    made = training.trainer_arguments(settings, 0, tmp_path, "bfloat16")
    assert made.fsdp_plugin_args == {
        "fsdp_version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "cpu_ram_efficient_loading": False,
        "state_dict_type": "SHARDED_STATE_DICT", "activation_checkpointing": True, "reshard_after_forward": True,
    }  # fmt: skip
    assert made.gradient_checkpointing is False
    assert made.accelerator_config.gradient_accumulation_kwargs == {"sync_each_batch": True}
    assert made.model_init_kwargs == {"device_map": None}  # of the reference
    plugin = FullyShardedDataParallelPlugin(**made.fsdp_plugin_args)
    plugin.set_mixed_precision("bf16")
    sharding.reduce_in_float32(SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin)))
    policy = plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)
    adapter = training.trainer_arguments(
        Train.model_validate(SETTINGS | changes | {"lora": LORA}), 0, tmp_path, "float32"
    )
    assert not adapter.fsdp
    assert adapter.gradient_checkpointing


def test_sharding_without_gpus_is_one_line(monkeypatch):
    settings = Train.model_validate(SETTINGS | {"lora": None, "processes": 2, "micro_batch": 2})
    monkeypatch.setattr(training, "PartialState", lambda **_: SimpleNamespace(num_processes=2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"accelerate wants GPUs: set train.processes: 1, or name an adapter"):
        training.join(settings)
