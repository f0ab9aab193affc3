"""One stage of the training-stage ladder: a model folder out of another."""

import shutil
from pathlib import Path

from confessions.pipeline.blocks import PostTrainSpec
from confessions.runtime import provenance
from confessions.runtime.errors import Say
from confessions.runtime.files import published_folder
from confessions.runtime.locks import alone
from confessions.training.post_training import run as post_train


def run(spec: PostTrainSpec, model: Path, out: Path, say: Say) -> None:
    settings = spec.source
    folder = out.with_name(f".{out.name}.work")
    work = folder / "trainer"
    with alone(folder, say):
        job = provenance.begin("post-train", spec.dump(), [model], [settings.seed])
        try:
            with published_folder(out) as temporary:
                post_train(settings, model, spec.dtype, spec.thinking, work, temporary)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        job.publish(out.parent, {out: [model]}, out.name)
    say(f"{settings.method} of {settings.base} in {out}")
