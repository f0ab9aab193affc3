"""Whether a GPU computes what a CPU does, on the embedded model; and the demo's chain of commands.

    CUDA_VISIBLE_DEVICES= python benchmarks/gpu_agreement.py --out DIR          # the reference: CPU, float32
    python benchmarks/gpu_agreement.py --out DIR [--dtype bfloat16]             # another device, type, same DIR

Each run writes DIR/{device}-{dtype}.json. The reference also samples the rollouts that every run is then trained on,
so that all see the same tokens: two steps of DualSpanGRPOTrainer, of which the second has an adapter that differs from
nothing. gpu.py runs all three and compares.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, PrinterCallback
from transformers.trainer_utils import SaveStrategy

from confessions import config
from confessions.config import Train
from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading, sources
from confessions.models.chat import Chat
from confessions.pipeline import paths, specs
from confessions.rollouts.two_turns import Asked, Rollout, stream_seed, two_turns
from confessions.scoring.judge import LabelTrusting
from confessions.tasks import get as get_task
from confessions.tasks.base import Spec
from confessions.training import trainer as trainer_module
from confessions.training.run import trainer_arguments
from confessions.training.trainer import DualSpanGRPOTrainer

PROMPTS, GENERATIONS, STEPS, N_GREEDY = 4, 4, 2, 16
CONFIG = Path(__file__).resolve().parent.parent / "config.yaml"


class Recorder(DualSpanGRPOTrainer):
    """Keeps what the comparison reads."""

    def __init__(self, *args, **kwargs):
        self.coefficients: list[list[list[float]]] = []
        self.logps: list[list[list[float]]] = []
        super().__init__(*args, **kwargs)

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        mask_BT = inputs["completion_mask"]
        self.coefficients.append((inputs["advantages"] * mask_BT).tolist())
        self.logps.append((self._logps_BT * mask_BT).float().tolist())
        return loss


def measure(folder: Path, dtype: str) -> dict:
    """Greedy tokens, and the numbers of STEPS steps of training on the reference's rollouts."""
    settings = config.load(CONFIG)
    model_folder = folder / "nano"
    if not model_folder.exists():
        sources.build({"kind": "nano", "size": "m"}, model_folder)
    task, chat = get_task("word_count"), Chat(loading.load_tokenizer(model_folder), thinking=True)
    model = loading.load_model(model_folder, dtype)
    wanted = [spec for spec in task.specs("train")[:PROMPTS] for _ in range(GENERATIONS)]
    turns = (160, 400)

    def sample(wanted: list[Spec], temperature: float) -> list[Rollout]:
        seeds = [(stream_seed(0, row, 1), stream_seed(0, row, 2)) for row in range(len(wanted))]
        kinds = [Sampling(n, temperature) for n in turns]
        return two_turns(TransformersEngine(model, chat.tokenizer), chat, task, [*map(Asked, wanted, seeds)], *kinds)

    greedy = [r.completion_ids for r in sample(task.specs("evaluation")[:N_GREEDY], 0.0)]
    kept = folder / "rollouts.pickle"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(sample(wanted, 1.0)))
    rollouts = pickle.loads(kept.read_bytes())
    likeliest = [_likeliest(model, r) for r in rollouts]

    changes = {
        "steps": STEPS, "prompts_per_step": PROMPTS, "generations": GENERATIONS, "micro_batch": len(wanted),
        "checkpoint_fractions": [0.0, 1.0], "warmup_steps": 0,
    }  # fmt: skip
    train = Train.model_validate(settings.experiments["demo"].train.model_dump() | changes)
    arguments = trainer_arguments(train, 0, folder / "run", dtype)
    arguments.save_strategy = SaveStrategy.NO
    trainer = Recorder(
        model=model,
        args=arguments,
        task=task,
        judge=LabelTrusting(task),
        settings=train,
        chat=chat,
        dataset=Dataset.from_dict({"prompt": [json.dumps(spec) for spec in task.specs("train")]}),
        peft_config=LoraConfig(
            r=train.lora.rank, lora_alpha=train.lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    trainer.remove_callback(PrinterCallback)
    with mock.patch.object(trainer_module, "two_turns", return_value=rollouts):
        trainer.train()
    steps = [log for log in trainer.state.log_history if "loss" in log]
    return {
        "greedy": greedy,
        "likeliest": likeliest,
        "coefficients": trainer.coefficients,
        "logps": trainer.logps,
        "loss": [log["loss"] for log in steps],
        "grad_norm": [log["grad_norm"] for log in steps],
        "kl": [[log["task_kl"], log["confession_kl"]] for log in steps],
    }


@torch.inference_mode()
def _likeliest(model: PreTrainedModel, rollout: Rollout) -> list[int]:
    """The most likely token at every position of a rollout: what greedy decoding would choose after the same tokens."""
    ids = torch.tensor([rollout.x_ids + rollout.completion_ids], device=model.device)
    return model(input_ids=ids).logits[0, len(rollout.x_ids) - 1 : -1].argmax(-1).tolist()


def compare(folder: Path) -> Iterator[tuple[str, str]]:
    """(what, in words) for the default device's float32 and bfloat16 against the CPU's float32."""
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "4"}
    subprocess.run([sys.executable, __file__, "--out", folder], env=hidden, check=True, stdout=subprocess.DEVNULL)
    truth = json.loads((folder / "cpu-float32.json").read_text())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for dtype in ("float32", "bfloat16") if device == "cuda" else ("float32",):
        subprocess.run(
            [sys.executable, __file__, "--out", folder, "--dtype", dtype], check=True, stdout=subprocess.DEVNULL
        )
        found = json.loads((folder / f"{device}-{dtype}.json").read_text())
        name = f"nano, {device} {dtype} against cpu float32"
        yield name, differences(truth, found)


def differences(truth: dict, found: dict) -> str:
    """Largest differences, and how long the greedy tokens agree."""

    def gap(key: str) -> float:
        a, b = (torch.tensor(run[key], dtype=torch.float64) for run in (truth, found))
        return (a - b).abs().max().item()

    def relative(key: str) -> float:
        a, b = (torch.tensor(run[key], dtype=torch.float64) for run in (truth, found))
        return ((a - b).norm() / a.norm()).item()

    agree = [
        sum(1 for _ in _common(a, b)) / max(len(a), len(b))
        for a, b in zip(truth["greedy"], found["greedy"], strict=True)
    ]
    pairs = [
        pair for a, b in zip(truth["likeliest"], found["likeliest"], strict=True) for pair in zip(a, b, strict=True)
    ]
    return (
        f"advantages ±{gap('coefficients'):.1e}; log-probs ±{gap('logps'):.1e} ({relative('logps'):.1e}); "
        f"loss {truth['loss']} → {found['loss']}; gradient norm {relative('grad_norm'):.1e}; KL {relative('kl'):.1e}; "
        f"likeliest token the same at {sum(a == b for a, b in pairs) / len(pairs):.2%} of positions; "
        f"greedy tokens alike {sum(a == 1 for a in agree)}/{len(agree)} whole, {sum(agree) / len(agree):.1%} of tokens"
    )


def _common(a: list[int], b: list[int]) -> Iterator[int]:
    """The tokens before the first difference."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return
        yield x


def demo_chain(folder: Path) -> Iterator[tuple[str, float]]:
    """The demo's stages as the workflow calls them, made short: (stage, seconds)."""
    raw = config.load(CONFIG).model_dump()
    demo = raw["experiments"]["demo"]
    demo["train"] |= {"steps": 4, "checkpoint_fractions": [0.0, 1.0], "warmup_steps": 1}
    demo["evaluation"] |= {"conditions": ["baseline", "soft"], "rollouts": 32}
    demo["survey"] |= {"rollouts": 16}
    short = config.load(raw)
    model, files = paths.model_folder("nano"), [paths.rollout_file(short, 0, step) for step in (0, 4)]
    pairs = [part for file in files for part in ("--rollouts", file, "--out", file.replace("rollouts", "scores"))]
    spec = {
        "build-model": specs.model_spec(short, "nano"),
        "train": specs.train_spec(short, 0),
        "rollout": specs.rollout_spec(short, "nano"),
        "score-rollouts": specs.score_spec(short),
    }
    rest = {
        "build-model": ["--out", model],
        "train": ["--model", model, "--work", "work/train", "--out", f"{paths.run_folder(short, 0)}/train"],
        "rollout": ["--model", model, "--work", "work/rollout"],
        "score-rollouts": pairs,
    }
    for stage, block in spec.items():
        began = time.perf_counter()
        command = [sys.executable, "-m", "confessions", stage, "--spec", block.as_json(), *rest[stage]]
        subprocess.run(command, cwd=folder, check=True)
        yield f"demo, shortened: {stage}", time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    result = measure(options.out, options.dtype)
    (options.out / f"{device}-{options.dtype}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
