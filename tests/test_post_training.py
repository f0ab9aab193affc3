"""A stage of the ladder leaves a whole model folder."""

import json
import shutil

import pytest

from confessions import models, post_training
from confessions.config import PostTrained

SETTINGS = {
    "kind": "post_trained", "base": "tiny", "task": "word_count", "steps": 1, "prompts_per_step": 2, "samples": 2,
    "learning_rate": 0.01, "kl_weight": 0.1, "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0}, "max_new_tokens": 8, "micro_batch": 2, "seed": 0,
}  # fmt: skip


@pytest.mark.parametrize("method", ["sft", "rl"])
def test_end_tokens_and_recommended_sampling_are_the_bases(random_nano, tmp_path, method):
    """They are the authors', and the engine resets the model's own while it samples."""
    base, out = shutil.copytree(random_nano, tmp_path / "base"), tmp_path / "out"
    given = {"eos_token_id": [7, 9], "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    (base / "generation_config.json").write_text(json.dumps(given))
    settings = PostTrained.model_validate(SETTINGS | {"method": method})
    post_training.run(settings, base, "float32", True, tmp_path / "work", out)
    assert json.loads((out / "generation_config.json").read_text()) == given
    assert models.load_chat(out, True).eos == models.load_chat(base, True).eos
    assert models.recommended_sampling(out) == {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
    models.load_model(out, "float32")
