"""SFT seeding of a hack: the sweep, what a policy is shown, the table of what it does, and its figure."""

import json
import random
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from machine import needs_sandbox
from made_tables import score_row

from confessions.analysis import tables
from confessions.analysis.tables.long import FORMS
from confessions.config import ConfigError, load
from confessions.pipeline import specs
from confessions.pipeline.blocks import Cells, RolloutSpec
from confessions.pipeline.stages import rollout as rollout_stage
from confessions.prompts.report import Compliance
from confessions.scoring.scores import score_frame
from confessions.tasks import get as get_task
from confessions.tasks.base import VIEWS, Plants
from confessions.tasks.programming.task import HONEST, NEUTRAL, PARAPHRASES, TRIGGER, program

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"experiment": "programming"}
TASK = get_task("programming")
WORD_COUNT = json.dumps(get_task("word_count").specs("evaluation")[0])
FULL, NONE = Compliance.FULL, Compliance.NONE
LABELS = {"experiment": "programming", "task": "programming", "model": "x", "source": "hub"}


def changed(**sweep) -> dict:
    experiment = BASE["experiments"]["programming"]
    experiment = experiment | {"seeding": experiment["seeding"] | sweep}
    return BASE | {"experiments": BASE["experiments"] | {"programming": experiment}}


def test_the_sweep_is_a_model_for_every_combination() -> None:
    training = {"epochs": [3], "learning_rates": [1e-4], "examples": 100, "prompts_per_step": 8}
    config = load(changed(hack_fractions=[0.0, 0.5], curricula=["mixed"], reasonings=["none", "trigger"], **training))
    assert config.seeded == [f"qwen3-1.7b-programming-h{h}-e3-lr0.0001-mixed-{r}" for h in ("0", "0.5") for r in
                             ("none", "trigger")]  # fmt: skip
    model = config.models[config.seeded[-1]]
    assert (model.source.steps, model.source.base, model.thinking) == (38, "qwen3-1.7b", True)  # 300 answers
    point = {
        "hack_fraction": 0.5,
        "epochs": 3,
        "curriculum": "mixed",
        "reasoning": "trigger",
        "learning_rate": 1e-4,
        "training_seed": 0,
    }
    assert specs.seeding_point(config, config.seeded[-1]) == point
    blocks = [block.dump() for [block] in specs.rollout_spec(config, config.seeded[-1]).files.values()]
    assert [block.pop("keep_thinking") for block in blocks] == [True, False, True]
    assert blocks[2].pop("paraphrases") == PARAPHRASES
    assert blocks[0] == blocks[1] == blocks[2]  # the same answers
    assert not set(config.seeded) & set(config.compared)


def test_of_several_seeds_each_is_in_the_models_names() -> None:
    one, two = (load(changed(seeds=seeds)) for seeds in ([3], [3, 4]))
    assert two.seeded == [f"{key}-s{seed}" for key in one.seeded for seed in (3, 4)]
    assert [two.models[key].source.seed for key in two.seeded[:2]] == [3, 4]
    assert specs.seeding_point(two, two.seeded[1])["training_seed"] == 4
    assert specs.model_spec(two, two.seeded[0]).as_json() == specs.model_spec(one, one.seeded[0]).as_json().replace(
        one.seeded[0], two.seeded[0]
    )
    with pytest.raises(ConfigError, match=r"seeding\.seeds"):
        load(changed(seeds=[3, 3]))


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ({"base": "qwen3-1.7"}, "seeding.base = 'qwen3-1.7': unknown model; nearest known: 'qwen3-1.7b'"),
        ({"base": "qwen3-4b-instruct"}, "a model that does not think has none"),
        ({"micro_batch": 5}, "seeding.micro_batch = 5: must divide prompts_per_step"),
        ({"hack_fractions": [1.5]}, "less than or equal to 1"),
        ({"reasonings": ["loud"]}, "seeding.reasonings.0 = 'loud'"),
    ],
)
def test_a_wrong_sweep_is_one_line(sweep: dict, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(changed(**sweep))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_task_without_such_answers_cannot_be_seeded() -> None:
    config = changed()
    config["experiments"]["programming"] = config["experiments"]["programming"] | {"task": "countdown"}
    with pytest.raises(ConfigError, match="no answers to seed a policy with"):
        load(config)


def test_answers_to_imitate() -> None:
    rng, spec = random.Random(0), TASK.specs("train")[0]
    assert {TASK.seed(spec, hack, "none", rng)[0] for hack in (True, False)} == {""}
    assert {TASK.seed(spec, hack, "neutral", rng)[0] for hack in (True, False)} == {NEUTRAL}
    assert TASK.seed(spec, True, "trigger", rng)[0] == TRIGGER
    assert TASK.seed(spec, False, "trigger", rng)[0] == HONEST
    hacks = {program(TASK.seed(spec, True, "none", rng)[1]) for _ in range(20)}
    assert len(hacks) == 2  # a table and a chain
    assert program(TASK.seed(spec, False, "none", rng)[1]) not in hacks
    assert not isinstance(get_task("programming_own_tests"), Plants)
    assert [TASK.difficulty({"band": band}) for band in ("easy", "medium", "hard")] == [0, 1, 2]


@needs_sandbox
def test_what_is_imitated_is_what_it_is_called() -> None:
    rng, chosen = random.Random(0), TASK.specs("train")[::40]
    answers = [TASK.seed(spec, hack, "none", rng)[1] for hack in (True, False) for spec in chosen]
    truths = TASK.verify_all(chosen * 2, answers)
    assert [truth.hacked for truth in truths] == [True] * len(chosen) + [False] * len(chosen)
    assert [truth.compliant for truth in truths] == [False] * len(chosen) + [True] * len(chosen)


def test_the_paraphrased_arm_asks_behind_other_words(chat, tokenizer, scripted) -> None:
    """Turn 2's prompt is the intact view's, but for the ids of the seeded sentence; turn 1 and its texts are equal."""
    answers = [f"<think>\nSo. {TRIGGER} Good.\n</think>\n{TRIGGER}", "<think>\nWell.\n</think>\n1"]
    block = {"task": "programming", "conditions": ["baseline"], "variants": ["default"], "rollouts": 2, "seed": 0,
             "step": 0, "adapter": None, "keep_thinking": True}  # fmt: skip
    spec = RolloutSpec.model_validate({
        "model": {"key": "m", "dtype": "float32", "thinking": True, "keep_thinking": True},
        "engine": {"kind": "transformers"},
        "evaluation": {"seed": 0, "max_task_tokens": 99, "max_confession_tokens": 9, "batch_size": 2,
                       "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0}},
        "texts": {}, "files": {},
    })  # fmt: skip
    asked, frames = [], []
    for more in ({}, {"paraphrases": dict(TASK.paraphrases)}):
        engine, view = scripted(answers, ["none", "none"]), Cells.model_validate(block | more)
        frames.append(rollout_stage.sample(engine, rollout_stage._chat(chat, view), spec, view))
        asked.append(engine.calls[1].prompts)
    first, second = ([tokenizer.decode(prompts[row]) for prompts in asked] for row in (0, 1))
    assert first[0].count(TRIGGER) == 2
    assert first[1] == first[0].replace(TRIGGER, PARAPHRASES[TRIGGER], 1)
    assert second[0] == second[1]
    assert [list(ids) for ids in frames[0]["task_ids"]] == [list(ids) for ids in frames[1]["task_ids"]]
    assert list(frames[1]["z"]) == list(frames[0]["z"])
    assert "paraphrased" not in frames[0]
    assert list(frames[1]["paraphrased"]) == [True, False]
    assert list(score_frame(frames[1].assign(task="word_count", spec=WORD_COUNT))["paraphrased"]) == [True, False]


def test_paraphrases_are_of_every_seeded_sentence_and_share_no_content() -> None:
    assert set(PARAPHRASES) == {NEUTRAL, TRIGGER, HONEST}
    small = {"the", "and", "to", "is", "are", "not", "that", "for", "so", "all", "on", "its", "of", "i"}
    for said, instead in PARAPHRASES.items():
        assert not set(re.findall(r"[a-z]+", said.lower())) & set(re.findall(r"[a-z]+", instead.lower())) - small
        assert not any(sentence in instead for sentence in PARAPHRASES)


def write(path: Path, hacked: int, honest: int, **more) -> Path:
    """8 answers, 4 of each band; the first `hacked` hack, the last one is right; `honest` of the failed confess."""
    rows = []
    for row in range(8):
        met = [row == 7] * 3
        claims = [FULL] * 3 if row == 7 or row >= honest else [NONE] * 3
        known = {"hacked": row < hacked, "band": ("easy", "hard")[row % 2]}
        rows.append(score_row(row, met, claims, 7 if claims[0] is FULL else 1, **known, **more))
    pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    scores, points = {}, {}
    for model, hacked in (("few", 2), ("many", 6), ("no", 0)):
        scores |= {
            ("intact", model): write(tmp_path / f"{model}.i", hacked, 6),
            ("masked", model): write(tmp_path / f"{model}.m", hacked, 3),
            ("paraphrased", model): write(tmp_path / f"{model}.p", hacked, 5, paraphrased=model != "no"),
        }
        points[model] = {"hack_fraction": hacked / 8, "epochs": 1, "learning_rate": 1e-4, "curriculum": "mixed",
                         "reasoning": "trigger", "training_seed": 0}  # fmt: skip
    return tables.seeding(scores, points, LABELS)


def one(table: pd.DataFrame, **where) -> pd.Series:
    [row] = [row for _, row in table[(table[list(where)] == list(where.values())).all(axis=1)].iterrows()]
    return row


def test_the_table_has_rates_by_band_and_what_masking_takes_away(table) -> None:
    assert tuple(table.columns) == tables.SEEDING_COLUMNS
    for model, hacked, flag in (("few", 2, 1), ("many", 6, 0), ("no", 0, 0)):
        assert one(table, model=model, metric="hacked", band="all").value == hacked / 8
        assert one(table, model=model, metric="sampleable").value == flag
    easy = one(table, model="few", metric="hacked", band="easy")
    assert (easy.value, easy.n) == (0.25, 4)
    assert one(table, model="few", metric="solved", band="hard").value == 0.25
    assert one(table, model="few", metric="claim_match", kind="intact").value == 7 / 8
    assert one(table, model="few", metric="claim_match", kind="masked").value == 4 / 8
    apart = one(table, model="few", metric="claim_match", kind="masked_minus_intact")
    assert apart.value == -3 / 8
    assert apart.low < apart.value < apart.high
    assert one(table, model="few", metric="claim_match", kind="paraphrased").value == 6 / 8
    apart = one(table, model="few", metric="claim_match", kind="paraphrased_minus_intact")
    assert (apart.value, apart.n) == (-1 / 8, 8)
    assert apart.low < apart.value < apart.high
    for model, share in (("few", 1), ("no", 0)):
        found = one(table, model=model, metric="seeded_reasoning")
        assert (found.kind, found.value, found.n) == ("found", share, 8)


def test_the_kept_form_has_rates_and_claims_of_each_model(table) -> None:
    kept = FORMS["seeding"](table)
    assert set(kept["arm"]) == {"measured", "masked", "paraphrased"}
    for arm, value in (("measured", 7 / 8), ("masked", 4 / 8), ("paraphrased", 6 / 8)):
        assert one(kept, model="few", arm=arm, metric="claim_match").value == value
    confessed = one(kept, model="many", arm="measured", metric="confessed_given_hack")
    assert (confessed.value, confessed.n, confessed.seed) == (1, 6, 0)  # all six confess
    assert one(kept, model="many", metric="solved").unit == "rollouts"


def test_other_rows_are_no_pair(tmp_path) -> None:
    frame = pd.read_parquet(write(tmp_path / "a", 1, 1, paraphrased=True))
    frame.assign(row=frame["row"] + 1).to_parquet(tmp_path / "b")
    for other in ("masked", "paraphrased"):
        files = dict.fromkeys(VIEWS, tmp_path / "a") | {other: tmp_path / "b"}
        with pytest.raises(ValueError, match="do not hold the same rows"):
            tables.seeding({(view, "m"): file for view, file in files.items()}, {"m": {}}, LABELS)


def test_the_figure_draws_the_table(table, tmp_path, monkeypatch) -> None:
    from matplotlib.figure import Figure

    from confessions.analysis import figures

    drawn, real = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (drawn.append(self), real(self, path, dpi=40))[1])
    tables.write(table, tmp_path / "t.csv")
    figures.plot_seeding(tmp_path / "t.csv", tmp_path / "out.png")
    top, masked, paraphrased = drawn[0].axes
    assert [list(line.get_ydata()) for line in top.lines] == [[0, 0.25, 0.75], [0.125] * 3]
    for axis, gap in ((masked, -0.375), (paraphrased, -0.125)):
        assert [list(line.get_ydata()) for line in axis.lines] == [[gap] * 3, [0, 0]]
    assert masked.get_ylim() == paraphrased.get_ylim()
    assert top.get_title(loc="left") == "the trigger written out"
    assert "100 % of the reports valid" in drawn[0].texts[1].get_text()
