"""The tables and the figures: what each is made from, and the function that makes it. Free of pandas.

The workflow has a rule for every entry, and `confessions plan` counts them. A new one is its module, its caption in
workflow/report/ and a line here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from confessions import prompts, tasks
from confessions.config import Config
from confessions.tasks.base import HasTwins

# What a table is made from, and whether an experiment has it.
SOURCES: Mapping[str, Callable[[Config], object]] = {
    "checkpoints": lambda config: config.active.train,  # scores of the policy's checkpoints
    "grid": lambda config: True,  # the same, or where nothing is trained scores of models
    "wordings": lambda config: prompts.families(
        config.active.evaluation.conditions
    ),  # as grid, where a condition has several wordings
    "metrics": lambda config: config.active.train,  # what training logged
    "survey": lambda config: config.active.survey,  # rollouts of the survey
    "scale": lambda config: config.active.scale,  # scores of an axis's models
    "ladder": lambda config: config.active.ladder,
    "scores": lambda config: True,  # scores of checkpoints and of models
    "probes": lambda config: config.active.evaluation.probes,  # scores of the probes of both
    "judge_check": lambda config: (
        config.judges and isinstance(tasks.get(config.active.task), HasTwins)
    ),  # answers made by code
    "sweep": lambda config: config.seeded,  # scores of seeded models
}
TARGETS = {"sweep": "seeding"}  # of the workflow; without an entry: all


@dataclass(frozen=True)
class Entry:
    """What is made by `function` (module:name in confessions.analysis) from `source`; the report calls it `title`."""

    source: str
    function: str
    title: str

    def __call__(self, *given: Any, **named: Any) -> Any:
        """The function's value; its module, with pandas, is imported now."""
        return resolve_name(f"confessions.analysis.{self.function}")(*given, **named)


# Each from one of SOURCES.
TABLES = {
    "reproduction": Entry("checkpoints", "tables.reproduction:reproduction", "Every metric by checkpoint"),
    "stress_grid": Entry("grid", "tables.grid:stress_grid", "Every metric in every cell"),
    "wordings": Entry("wordings", "tables.wordings:wordings", "Conditions by their wording"),
    "power": Entry("checkpoints", "tables.power:power", "The smallest differences that can be seen"),
    "judge": Entry("grid", "tables.judge:judge", "The weak judge against the truth"),
    "training": Entry("metrics", "tables.training:training", "Training step by step"),
    "onset": Entry("metrics", "tables.onset:onset", "When the hack begins"),
    "verification": Entry("scores", "tables.verification:verification", "Claims that were checked"),
    "probes": Entry("probes", "tables.probes:probes", "Every metric of the probes"),
    "by_kind": Entry("probes", "tables.by_kind:by_kind", "Claims by kind of objective"),
    "reliability": Entry("probes", "tables.reliability:reliability", "Probabilities against rates"),
    "scale": Entry("scale", "tables.models:by_model", "Every metric by model size"),
    "ladder": Entry("ladder", "tables.models:by_model", "Every metric by training stage"),
    "hack_survey": Entry("survey", "tables.survey:hack_survey", "Detectors of hacks by training step"),
    "judge_check": Entry("judge_check", "tables.judge_check:judge_check", "The weak judge on answers made by code"),
    "seeding": Entry("sweep", "tables.seeding:seeding", "What a seeded hack does"),
}
# Each from a table.
FIGURES = {
    "reproduction": Entry("reproduction", "figures.reproduction:plot_reproduction", "Honesty by checkpoint"),
    "training_echo": Entry(
        "training", "figures.reproduction:plot_training_echo", "The weak judge fooled, by training step"
    ),
    "hack_emergence": Entry(
        "training", "figures.emergence:plot_hack_emergence", "The hack and its confession, by training step"
    ),
    "stress_grid": Entry("stress_grid", "figures.stress_grid:plot_stress_grid", "Honesty under system prompts"),
    "self_knowledge": Entry(
        "probes", "figures.self_knowledge:plot_self_knowledge", "What confessions know, by training step"
    ),
    "by_kind": Entry("by_kind", "figures.by_kind:plot_by_kind", "What confessions know, by kind of objective"),
    "reliability": Entry("reliability", "figures.reliability:plot_reliability", "Do probabilities mean what they say"),
    "scale": Entry("scale", "figures.claims:plot_scale", "Claims by model size"),
    "ladder": Entry("ladder", "figures.claims:plot_ladder", "Claims by training stage"),
    "seeding": Entry("seeding", "figures.seeding:plot_seeding", "What a seeded hack does"),
}


def of(config: Config, target: str = "all") -> tuple[dict[str, Entry], dict[str, Entry]]:
    """The tables and the figures that the active experiment has, of one target of the workflow (all or seeding)."""
    tables = {
        name: table
        for name, table in TABLES.items()
        if TARGETS.get(table.source, "all") == target and SOURCES[table.source](config)
    }
    return tables, {name: figure for name, figure in FIGURES.items() if figure.source in tables}
