"""One stage of the training-stage ladder: a model folder out of another."""

import os
import shutil
from pathlib import Path

from confessions import provenance
from confessions.config import PostTrained
from confessions.post_training import run as post_train
from confessions.stages import Block, Say


def run(spec: Block, model: Path, out: Path, say: Say) -> None:
    settings = PostTrained.model_validate(spec["source"])
    job = provenance.begin("post-train", spec, [model], [settings.seed])
    temporary, work = (out.with_name(f".{out.name}.{kind}.{os.getpid()}") for kind in ("whole", "work"))
    try:
        post_train(settings, model, spec["dtype"], spec["thinking"], work, temporary)
        shutil.rmtree(out, ignore_errors=True)
        os.replace(temporary, out)
    finally:
        for folder in (temporary, work):
            shutil.rmtree(folder, ignore_errors=True)
    job.publish(out.parent, {out: [model]}, out.name)
    say(f"{settings.method} of {settings.base} in {out}")
