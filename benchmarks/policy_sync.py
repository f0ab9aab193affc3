"""Training with vLLM: does any base weight change, how far is the sampler from the trainer, what does a sync cost?

    python benchmarks/policy_sync.py --spec SPEC --model MODEL --work WORK

SPEC is a file with the training stage's block (`train.engine: vllm`), MODEL a model folder. It trains as `confessions
train` does, in a new folder WORK, hashes every base weight before and after, the trainer's copy and vLLM's, and prints
a JSON object: hashes, gaps between the log-probabilities of sampler and trainer by step, and seconds of each part.
"""

import argparse
import hashlib
import json
import statistics
from pathlib import Path
from unittest import mock

import torch

from confessions.engines.policy import PolicyEngine
from confessions.pipeline.blocks import TrainSpec
from confessions.pipeline.stages.judges import make_judge
from confessions.training import run as training
from confessions.training.base import Base
from confessions.training.callbacks import GAPS


def digest(model: torch.nn.Module) -> dict[str, str]:
    """SHA-256 of each weight that is no adapter's."""
    return {
        name: hashlib.sha256(weight.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy()).hexdigest()
        for name, weight in model.named_parameters()
        if "lora" not in name
    }


def compared(before: dict[str, str], after: dict[str, str]) -> dict[str, object]:
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    whole = hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:16]
    return {"weights": len(before), "changed": len(changed), "first_changed": changed[:3], "sha256_before": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("spec", "model", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    spec = TrainSpec.parse(options.spec.read_text())
    settings, task, policy = spec.train, spec.get_task(), spec.policy
    hashes: dict[str, dict[str, str]] = {}
    sync, close = PolicyEngine.sync, PolicyEngine.close

    def hashed(self: PolicyEngine, moment: str) -> None:
        hashes[f"trainer {moment}"] = digest(self.policy.get_base_model())
        hashes[f"vllm {moment}"] = self.engine.llm.apply_model(digest)[0]

    def sync_and_hash(self: PolicyEngine, model, step: int) -> None:
        sync(self, model, step)
        self.policy = model
        if "vllm before" not in hashes:
            hashed(self, "before")

    def hash_and_close(self: PolicyEngine) -> None:
        hashed(self, "after")
        close(self)

    with mock.patch.multiple(PolicyEngine, sync=sync_and_hash, close=hash_and_close):
        base = Base(options.model, policy.dtype, policy.thinking, policy.key)
        training.run(settings, spec.seed, task, make_judge(spec.judge, task), base, options.work)
    rows = [json.loads(line) for line in (options.work / "metrics.jsonl").read_text().splitlines()]
    names = rows[-1]["timeline"]
    parts = {name: statistics.median(row["timeline"].get(name, 0.0) for row in rows[1:]) for name in names}
    gaps = {name: [row[name] for row in rows] for name in GAPS}
    shown = [0, *range(len(rows) // 4 - 1, len(rows), max(1, len(rows) // 4))]
    report = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "steps": len(rows),
        **{who: compared(hashes[f"{who} before"], hashes[f"{who} after"]) for who in ("trainer", "vllm")},
        "gap": {name: {rows[at]["step"]: values[at] for at in shown} for name, values in gaps.items()},
        "gap_mean_last_over_first": gaps["sampler_gap_mean"][-1] / gaps["sampler_gap_mean"][0],
        "median_seconds_by_part": parts,
        "median_seconds_a_step": statistics.median(row["seconds"] for row in rows[1:]),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
