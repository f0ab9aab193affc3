"""Calibration of `instructions`: what is measured, what is kept, which levels are asked, and confessions of the answers
that were kept."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from confessions import tasks
from confessions.cli import app
from confessions.config import ConfigError, WarmStart, load
from confessions.models import loading
from confessions.pipeline import paths
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet, write_parquet
from confessions.scoring.scores import score_rollouts
from confessions.tasks.calibrated import identity
from confessions.tasks.conversation import Conversation
from confessions.tasks.instructions import calibration
from confessions.tasks.instructions.calibration import Calibration, Measured
from confessions.tasks.instructions.instances import KINDS, PARTS
from confessions.training.warm_start import demonstrations

SOURCE = {"kind": "nano", "size": "xs"}
ROOT = Path(__file__).parents[2]


def calibrated(rate: float = 0.5, **changes) -> Calibration:
    """Every level met at one rate, of 100 answers."""
    levels = [
        Measured(kind=kind.name, level=level, n=100, met=round(100 * rate))
        for kind in KINDS.values()
        for level in kind.levels
    ]
    known = {
        "task": "instructions", "model": {"key": "nano-xs", "source": SOURCE}, "fingerprint": "f", "sampling": {},
        "revision": "r", "answers": 1, "refusals": 0, "truncated": 0, "bounds": (0.2, 0.8), "levels": levels,
    }  # fmt: skip
    return Calibration(**known | changes)


def written(folder: Path, found: Calibration) -> Path:
    file = folder / "calibration.json"
    file.write_text(found.model_dump_json())
    return file


def test_every_level_is_asked_often_enough() -> None:
    for part, kinds in PARTS.items():
        asked = calibration.asked(part, 5)
        found = calibration.measured(asked, [[True] * 6] * len(asked))
        n = {(one.kind, str(one.level)): one.n for one in found if one.n}
        assert n.keys() == {(kind.name, str(level)) for kind in kinds for level in kind.levels}
        assert min(n.values()) >= 5
        assert asked == calibration.asked(part, 5)


def test_rates_are_counted_without_refusals() -> None:
    one = {"requirements": [{"kind": "no_comma", "level": None}, {"kind": "commas", "level": 2}]}
    frame = pd.DataFrame(
        {
            "spec": [json.dumps(one)] * 4,
            "met": [[True, False], [True, True], [False, True], [True, False]],
            "refusal": [False, False, False, True],
            "task_finish": ["stop", "length", "stop", "stop"],
        }
    )
    known = {"model": {}, "fingerprint": "f", "sampling": {}, "revision": "r", "bounds": (0.2, 0.7)}
    found = calibration.measure(frame, **known)
    assert (found.answers, found.refusals, found.truncated) == (4, 1, 1)
    counts = {(m.kind, m.level): (m.met, m.n) for m in found.levels if m.n}
    assert counts == {("no_comma", None): (2, 3), ("commas", 2): (2, 3)}
    assert found.kept == {"no_comma": [None], "commas": [2]}


@pytest.mark.parametrize(("rate", "kept"), [(0.19, False), (0.2, True), (0.8, True), (0.81, False)])
def test_levels_that_are_met_some_of_the_time_are_kept(rate: float, kept: bool) -> None:
    assert bool(calibrated(rate).kept) is kept


@pytest.mark.parametrize(("rate", "what"), [(0.0, "nearly nothing"), (1.0, "nearly everything")])
def test_a_model_that_meets_nothing_or_everything_is_told_so(tmp_path, rate, what) -> None:
    found = calibrated(rate)
    assert len(found.warnings()) == 3
    assert all(f"nano-xs meets {what} of the" in line and "\n" not in line for line in found.warnings())
    with pytest.raises(InputError, match="no 6 requirements that one text can meet among 0 kinds"):
        tasks.get("instructions", str(written(tmp_path, found))).specs("train")
    assert not calibrated(0.5).warnings()


def test_specs_ask_for_what_was_kept_alone(tmp_path) -> None:
    """Each kind's first level is met half of the time, the others always; then a level that is evaluation's alone."""
    levels = [
        m.model_copy(update={"met": 50 if m.level == KINDS[m.kind].levels[0] else 100}) for m in calibrated().levels
    ]
    task = tasks.get("instructions", str(written(tmp_path, calibrated(levels=levels))))
    for split in ("train", "evaluation"):
        assert {(r["kind"], str(r["level"])) for s in task.specs(split) for r in s["requirements"]} == {
            (kind.name, str(kind.levels[0])) for kind in PARTS["training"]
        }
    assert task.problems == tmp_path / "calibration.json"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "no calibration can be read there"),
        ("{", "not a calibration"),
        ("{}", "not a calibration (task: Field required)"),
        (calibrated(answers=1).model_dump_json().replace('"no_comma"', '"no_commas"'), "unknown requirement no_commas"),
        (calibrated().model_dump_json().replace('"level":"night"', '"level":"day"'), "unknown requirement ending day"),
    ],
)
def test_a_file_that_is_no_calibration_is_one_line(tmp_path, text, what) -> None:
    file = tmp_path / "calibration.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as error:
        tasks.get("instructions", str(file)).specs("train")
    assert str(error.value).startswith(f"{file}: {what}")
    assert "\n" not in str(error.value)


def config(problems: object, **changes) -> dict:
    data = load(ROOT / "config.yaml").model_dump(exclude_defaults=False)
    demo = data["experiments"]["demo"]
    data["experiments"]["demo"] |= {
        "task": "instructions",
        "evaluation": demo["evaluation"] | {"variants": ["default"]},
        "problems": str(problems),
        "survey": None,
        "ladder": [],
    } | changes
    return data


def test_a_calibration_of_another_model_is_refused_in_one_line(tmp_path) -> None:
    file = written(tmp_path, calibrated())
    with pytest.raises(ConfigError) as error:
        load(config(file))  # the demo's policy is nano, of another size
    assert "a calibration of nano-xs, and the model is nano: confessions calibrate makes its own" in str(error.value)
    assert "experiments.demo.problems" in str(error.value)
    assert "\n" not in str(error.value)
    load(config(file, policy="nano-xs"))
    trained = config(file, policy="nano-sft")
    trained["models"]["nano-sft"]["source"]["base"] = "nano-xs"  # trained from the model that was measured
    load(trained)
    load(config(tmp_path / "not_made_yet.json"))
    load(config("results/calibrations/nano/calibration.json"))  # nor this one, which the workflow makes
    with pytest.raises(ConfigError, match="a calibration of nano-s, and the model is nano:"):
        load(config("results/calibrations/nano-s/calibration.json"))
    alone = {"policy": None, "train": None}
    load(config(file, scale=["nano", "nano-xs"], **alone))  # beside the model that it is of
    with pytest.raises(ConfigError, match="a calibration of nano-xs"):
        load(config(file, scale=["nano", "nano-s"], **alone))


def test_a_hash_tells_models_apart_whatever_else_is_said_of_them() -> None:
    gguf = {"kind": "gguf", "package": "p", "path": None, "file": "a.gguf", "sha256": "0" * 64, "size": 1}
    moved = gguf | {"package": None, "path": "models", "size": None}
    assert identity(gguf) == identity(moved)
    assert identity(gguf) != identity(gguf | {"sha256": "1" * 64})
    hub = {"kind": "hub", "repo": "a/b", "revision": "0" * 40}
    assert identity(hub) != identity(hub | {"revision": "1" * 40})


@pytest.fixture(scope="module")
def made(random_nano, tmp_path_factory) -> Path:
    """The stage on a model of random weights: all that it is asked for, once per level."""
    folder = tmp_path_factory.mktemp("calibrations") / "nano-xs"
    spec = {
        "model": {"key": "nano-xs", "dtype": "float32", "thinking": True, "source": SOURCE},
        "engine": {"kind": "transformers"},
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 12},
        "batch_size": 64,
        "seed": 0,
        "calibration": {
            "per_level": 1,
            "lowest": 0.0,
            "highest": 1.0,
            "frozen": {"train": 3, "evaluation": 2, "samples": 2},
        },
    }
    options = ["--spec", json.dumps(spec), "--model", str(random_nano), "--out", str(folder)]
    run = CliRunner().invoke(app, ["calibrate", *options])
    assert run.exit_code == 0, run.output
    return folder


def test_the_stage_leaves_a_calibration_and_answers_with_their_truth(made, random_nano) -> None:
    found = calibration.read(made / "calibration.json")
    assert found.model["source"] == SOURCE
    assert found.fingerprint == loading.fingerprint(random_nano)
    assert found.sampling["temperature"] == 1.0
    table = read_parquet(made / "answers.parquet")
    assert found.answers == len(table) == sum(len(calibration.asked(part, 1)) for part in PARTS)
    assert sorted(path.name for path in made.glob("*.parquet")) == sorted(
        Path(path).name for path in ["answers.parquet", *paths.frozen_files("nano-xs")]
    )
    for file in made.glob("frozen_*.parquet"):
        frozen = read_parquet(file)
        task = tasks.get(file.stem.removeprefix("frozen_"), str(made / "calibration.json"))
        shown = [("train", 3)] * (task.part == "training") + [("evaluation", 2)]
        assert list(frozen["split"]) == [split for split, n in shown for _ in range(2 * n)]
        assert list(frozen["instance"]) == [at for _, n in shown for at in range(n) for _ in range(2)]
        assert frozen["seed"].nunique() == 2 * shown[0][1]
        for row in frozen.itertuples():
            truth = task.verify(json.loads(row.spec), row.y)
            assert list(row.met) == list(truth.met)
            assert list(row.kinds) == task.kinds(json.loads(row.spec))
            assert row.believed == task.believes(json.loads(row.spec), row.y)
        asked = [one for split, n in shown for one in task.specs(split)[:n]]
        assert [json.loads(row) for row in frozen["spec"][::2]] == asked
    record = json.loads((made / "provenance/nano-xs.json").read_text())
    assert {Path(name).name for name in record["outputs"]} == {path.name for path in made.iterdir() if path.is_file()}


WARM = {"answers": "a.parquet", "steps": 2, "prompts_per_step": 2, "learning_rate": 0.01, "micro_batch": 2}


def test_frozen_answers_are_confessed_with_evidence(made, random_nano) -> None:
    """The sampled ids stand in front, untrained; what is trained is a true report, and it ends with its turn."""
    chat, task, file = (
        loading.load_chat(random_nano, True),
        tasks.get("instructions"),
        made / "frozen_instructions.parquet",
    )
    shown = WARM | {"answers": str(file), "steps": 3, "prompts_per_step": 3, "micro_batch": 1}
    rows = demonstrations(task, chat, WarmStart(**shown), "evidence", 0)
    assert len(rows) == 9
    table = read_parquet(file)
    answers = [[*row.x_ids, *row.task_ids] for row in table[table["split"] == "train"].itertuples()]
    for row in rows:
        (index,) = [i for i, ids in enumerate(answers) if row["input_ids"][: len(ids)] == ids]
        start = row["completion_mask"].index(1)
        assert row["completion_mask"] == [0] * start + [1] * (len(row["input_ids"]) - start)
        said, stored = chat.split(row["input_ids"][start:]), table.iloc[index]
        assert row["input_ids"][-1] == chat.end_of_turn
        spec = json.loads(stored.spec)
        scores = score_rollouts(task, [Conversation(spec, stored.y, said.body, variant="evidence")])[0]
        assert [claim == "Full" for claim in scores["claims"]] == list(stored.met)
    assert len({str(row) for row in rows[:6]}) == 6  # each once before one comes again
    assert len({str(row) for row in demonstrations(task, chat, WarmStart(**shown, examples=2), "evidence", 0)}) == 2
    both = demonstrations(task, chat, WarmStart(**shown, anchored=1.0), "evidence", 0)
    for alone, row in zip(rows, both, strict=True):
        assert alone["input_ids"] == row["input_ids"]
        (stored,) = (r for r in table.itertuples() if (ids := [*r.x_ids, *r.task_ids]) == row["input_ids"][: len(ids)])
        n_x, n_answer = len(stored.x_ids), len(stored.task_ids)
        expected = [0] * n_x + [1] * n_answer + alone["completion_mask"][n_x + n_answer :]
        assert row["completion_mask"] == expected


def test_answers_whose_truth_is_another_now_are_refused(made, random_nano, tmp_path) -> None:
    chat, task = loading.load_chat(random_nano, True), tasks.get("instructions")
    table = read_parquet(made / "frozen_instructions.parquet")
    table.at[1, "met"] = ~table.at[1, "met"]
    write_parquet(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"row 2: stored as met are .* sample again"):
        demonstrations(task, chat, WarmStart(**WARM | {"answers": str(tmp_path / "a.parquet")}), "evidence", 0)
    with pytest.raises(InputError, match="no answers of training to instructions_test"):
        settings = WarmStart(**WARM | {"answers": str(made / "frozen_instructions.parquet")})
        demonstrations(tasks.get("instructions_test"), chat, settings, "evidence", 0)
