"""A model folder out of a source that is not trained here: the embedded model, a folder, a hub, a GGUF file."""

from pathlib import Path

from confessions.models import sources
from confessions.pipeline.blocks import ModelSpec
from confessions.runtime import provenance
from confessions.runtime.errors import Say


def run(spec: ModelSpec, out: Path, say: Say) -> None:
    block = spec.dump()
    job = provenance.begin("build-model", block)
    sources.build(block["source"], out)
    job.publish(out.parent, {out: []}, out.name)
    say(f"model in {out}")
