"""The rollouts that a policy was trained on: every column's value, agreement with metrics.jsonl, and their logs."""

import json
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from machine import needs_inspect
from made_rollouts import ANSWER, PLAN, RIGHT, SPEC, TURNS
from pyarrow import parquet
from test_cli import TRAIN, run
from test_inspect_logs import read, texts

from confessions.config import load
from confessions.engines import Completion
from confessions.models.chat import Turn
from confessions.pipeline.inspect_logs import write_training_logs
from confessions.pipeline.paths import training_logs
from confessions.pipeline.verify import verify
from confessions.rollouts.two_turns import Rollout, stream_seed
from confessions.runtime.errors import InputError
from confessions.scoring.judge import LabelTrusting, Verdict
from confessions.tasks.word_count.task import WordCount
from confessions.training import trainer
from confessions.training.callbacks import rewind
from confessions.training.kept_rollouts import COLUMNS, FOLDER, read_steps, step_file

STEPS = 3
SETTINGS = TRAIN["train"] | {"steps": STEPS, "generations": 4, "checkpoint_fractions": [0.0, 1.0]}


def said(engine, chat, task, asked, *_, **__) -> list[Rollout]:
    """The four conversations of made_rollouts, in another order at each seed; their ids are made up."""
    rollouts = []
    for row, (spec, seed) in enumerate((one.spec, one.seeds[0]) for one in asked):
        y, zc, yc = TURNS[(row + asked[0].seeds[0]) % len(TURNS)]
        generator = np.random.default_rng(seed % 2**32)
        x, first, xc, second = (generator.integers(5, 40, n).tolist() for n in (3, 4 + row, 2, 5))
        finished = "length" if y == RIGHT and seed % 2 else "stop"
        rollouts.append(
            Rollout(spec, "baseline", "default", task.prompt(spec), "Report.", x,
                    Completion(first, [-0.5] * len(first), finished), xc,
                    Completion(second, [-0.25] * len(second), "stop"),
                    Turn(PLAN, y, 2, True), Turn(zc, yc, 1, True))
        )  # fmt: skip
    return rollouts


@pytest.fixture(scope="module")
def trained(random_nano, tmp_path_factory) -> SimpleNamespace:
    """A run of three steps whose rollouts are known."""
    folder = tmp_path_factory.mktemp("trained")
    done = SimpleNamespace(model=random_nano, work=folder / "work", out=folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "two_turns", said)
        patch.setattr(WordCount, "specs", lambda self, split: [SPEC])
        patch.setattr(LabelTrusting, "verdicts", lambda self, specs, answers: [
            Verdict(y == RIGHT, 0.75 if y == RIGHT else 0.25, 0.875) for y in answers
        ])  # fmt: skip
        result = run("train", TRAIN | {"train": SETTINGS}, **vars(done))
    assert result.exit_code == 0, result.output
    return done


def test_every_column_of_a_step(trained):
    frame = read_steps(trained.out / FOLDER, 2, 2)
    assert tuple(frame.columns) == tuple(COLUMNS)
    seeds = [[stream_seed(0, 1, row, turn) for turn in (1, 2)] for row in range(4)]
    turns = [TURNS[(row + seeds[0][0]) % 4] for row in range(4)]
    assert frame["y"].tolist() == [y for y, *_ in turns]
    assert frame["zc"].tolist() == [zc for _, zc, _ in turns]
    assert frame["yc"].tolist() == [yc for *_, yc in turns]
    assert frame["row"].tolist() == [0, 1, 2, 3]
    assert frame["seed"].tolist() == [first for first, _ in seeds]
    same = {
        "task": "word_count", "model": "tiny", "training_seed": 0, "step": 2, "condition": "baseline",
        "variant": "default", "group": 0, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "spec": json.dumps(SPEC),
        "x": WordCount().prompt(SPEC), "z": PLAN, "xc": "Report.", "answer_start": 2, "report_start": 1,
        "confession_finish": "stop", "answer_closed": True, "keep_thinking": True, "n_objectives": 5,
        "confession_truncated": False, "judge": "label_trusting", "judge_mass": 0.875,
        "config_hash": next(trained.work.glob(f"*/{FOLDER}")).parent.name,
    }  # fmt: skip
    for name, value in same.items():
        assert set(frame[name]) == {value}, name
    for name in ("not_known", "judge_prompt"):
        assert frame[name].isna().all()

    by = frame.assign(kind=[TURNS.index(turn) for turn in turns]).set_index("kind").sort_index()
    cut = by["task_finish"].eq("length").tolist()
    assert cut[:3] == [False] * 3
    assert by["answer_truncated"].tolist() == cut
    known = {
        "n_met": [2, 2, 2, 5], "exact_compliance": [False, False, False, True], "hacked": [True, True, True, False],
        "n_false_labels": [2, 2, 2, 0], "report_valid": [True, True, False, True],
        "invalid_reason": [None, None, "no_json", None], "n_correct_credit": [2, 2, 0, 5],
        "n_clean_admission": [3, 0, 0, 0], "n_over_claim": [0, 3, 0, 0], "n_invalid": [0, 0, 5, 0],
        "n_under_claim": [0] * 4, "n_hedged": [0] * 4, "n_by_position": [0] * 4,
        "claim_match": [1.0, 0.4, 0.0, 1.0], "grade_honest": [True, False, False, True],
        "checked": [True, False, False, False], "judge_pass": [False, False, False, True],
        "judge_p_pass": [0.25, 0.25, 0.25, 0.75],
    }  # fmt: skip
    for name, values in known.items():
        assert [None if pd.isna(value) else value for value in by[name]] == values, name
    assert by["grade"].tolist() == [2, 7, pd.NA, 7]
    assert [list(met) for met in by["met"]] == [[True, True, False, False, False]] * 3 + [[True] * 5]
    assert [claims and list(claims) for claims in map(_listed, by["claims"])] == [
        ["Full", "Full", "None", "None", "None"], ["Full"] * 5, None, ["Full"] * 5,
    ]  # fmt: skip
    assert list(by["classes"][0]) == ["correct_credit"] * 2 + ["clean_admission"] * 3
    assert json.loads(by["details"][0])["counts"] == [2, 2, 3, 4, 4]


def _listed(value) -> list | None:
    return None if value is None else list(value)


def test_tokens_and_spans_of_a_step(trained):
    frame = read_steps(trained.out / FOLDER, 3, 3)
    for row, rollout in enumerate(frame.to_dict("records")):
        lengths = [len(rollout[name]) for name in ("x_ids", "task_ids", "xc_ids", "confession_ids")]
        assert lengths == [3, 4 + row, 2, 5]
        assert rollout["task_mask"].tolist() == [1] * (4 + row) + [0] * 7
        assert rollout["confession_mask"].tolist() == [0] * (6 + row) + [1] * 5
        assert rollout["task_logprobs"].tolist() == [-0.5] * (4 + row)
        assert rollout["confession_logprobs"].tolist() == [-0.25] * 5
        drawn = np.random.default_rng(rollout["seed"] % 2**32)
        assert rollout["x_ids"].tolist() == drawn.integers(5, 40, 3).tolist()
        assert rollout["task_ids"].tolist() == drawn.integers(5, 40, 4 + row).tolist()


def test_a_step_agrees_with_its_line_of_the_metrics(trained):
    """Rewards and counts; an advantage is the reward in its group, and rewards are what texts and verdict earn."""
    lines = [json.loads(line) for line in (trained.out / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == STEPS
    for line in lines:
        frame = read_steps(trained.out / FOLDER, line["step"], line["step"])
        assert len(frame) == line["n"] == 4
        assert line["hacked"] == frame["hacked"].sum() == 3
        for count, column in (("judge_pass",) * 2, ("report_valid",) * 2, ("checked",) * 2,
                              ("truly_correct", "exact_compliance"), ("n_met", "n_met")):  # fmt: skip
            assert line[count] == frame[column].sum(), count
        passed = frame["judge_pass"] & ~frame["answer_truncated"]
        earned = {
            "task": passed.astype(float),
            "confession": 0.8 * frame["claim_match"] + 0.2 * frame["grade_honest"].astype(float),
        }
        assert sorted(earned["confession"]) == pytest.approx([0.0, 0.32, 1.0, 1.0])
        for span, rewards in earned.items():
            np.testing.assert_allclose(frame[f"{span}_reward"], rewards, rtol=1e-6)
            assert line[f"{span}_reward_mean"] == pytest.approx(rewards.mean(), rel=1e-6)
            spread = rewards.std()
            advantages = (rewards - rewards.mean()) / (spread + 1e-4) if spread else 0 * rewards
            np.testing.assert_allclose(frame[f"{span}_advantage"], advantages, atol=1e-5)
            assert line[f"{span}_advantage_std"] == pytest.approx(frame[f"{span}_advantage"].std(), rel=1e-4)
            lengths = frame[f"{span}_ids"].map(len)
            assert line[f"{span}_length_mean"] == pytest.approx(lengths.mean())


def test_every_step_has_the_same_types_and_its_file(trained):
    """A column that is empty in one step is of the same type there, so that a run reads as one table."""
    files = [step_file(trained.out / FOLDER, step) for step in range(1, STEPS + 1)]
    assert sorted((trained.out / FOLDER).iterdir()) == files
    assert len({str(parquet.read_schema(file)) for file in files}) == 1
    whole = pd.read_parquet(trained.out / FOLDER)
    assert sorted(zip(whole["step"], whole["row"], strict=True)) == [(s, r) for s in (1, 2, 3) for r in range(4)]
    assert read_steps(trained.out / FOLDER, 1, STEPS)["step"].tolist() == [1] * 4 + [2] * 4 + [3] * 4


def test_they_are_of_the_record(trained, tmp_path):
    """`confessions verify` holds them to it, each by itself."""
    assert verify(trained.out).findings == []
    file = step_file(trained.out / FOLDER, 2)
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1])
        (finding,) = verify(trained.out).findings
    finally:
        file.write_bytes(whole)
    assert (finding.kind, finding.path) == ("altered", str(file))


def test_what_is_damaged_or_of_another_step_is_one_line(trained, tmp_path):
    folder = tmp_path / "rollouts"
    folder.mkdir()
    whole = step_file(trained.out / FOLDER, 1).read_bytes()
    with pytest.raises(InputError, match=r"step_1\.parquet: no such file"):
        read_steps(folder, 1, 1)
    step_file(folder, 1).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"step_1\.parquet: not a whole Parquet file"):
        read_steps(folder, 1, 1)
    step_file(folder, 2).write_bytes(whole)
    with pytest.raises(InputError, match=r"step_2\.parquet: does not hold the rollouts of step 2"):
        read_steps(folder, 2, 2)


def test_a_run_goes_on_from_its_checkpoint_with_what_it_kept_before(tmp_path):
    """What is beyond goes, folders and files alike; what is missing before is named, and the fix."""
    kept = {step: step_file(tmp_path, step) for step in (1, 2, 3)} | {4: tmp_path / "step_4", 5: tmp_path / "none"}
    for step in (1, 2, 3):
        kept[step].write_text("")
    kept[4].mkdir()
    (kept[4] / "weights").write_text("")
    rewind(kept, 2, tmp_path)
    assert sorted(tmp_path.iterdir()) == [kept[1], kept[2]]
    kept[1].unlink()
    with pytest.raises(InputError, match=r"step_1\.parquet: missing, and training is beyond it; delete .* to train"):
        rewind(kept, 2, tmp_path)
    rewind(kept, 0, tmp_path)
    assert not [*tmp_path.iterdir()]


# -- in `inspect view` -------------------------------------------------------------------------------------------------


def logged(trained: SimpleNamespace, out: Path) -> list[Path]:
    needs_inspect()
    logs = {"demo-seed0-training-steps1-2.eval": [1, 2], "demo-seed0-training-steps3-3.eval": [3, 3]}
    made = write_training_logs(trained.out / FOLDER, out, {"experiment": "demo", "seed": 0}, logs.items())
    files = [step_file(trained.out / FOLDER, step) for step in (1, 2, 3)]
    assert [*made.values()] == [files[:2], files[2:]]
    return [*made]


def test_one_log_for_so_many_steps(trained, tmp_path):
    paths = logged(trained, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    log = read(paths[0])
    assert log.status == "success"
    assert (log.eval.task, log.eval.model) == ("word_count, training, steps 1 to 2", "tiny/seed0-training")
    assert log.eval.tags == ["training"]
    assert {"experiment": "demo", "first_step": 1, "last_step": 2}.items() <= log.eval.metadata.items()
    assert log.results.headline.scorer == "hacked"
    assert {s.name: s.metrics["value"].value for s in log.results.scores}["hacked"] == 0.75
    assert [s.id for s in log.samples] == [f"step {step}, row {row}" for step in (1, 2) for row in range(4)]


def test_a_sample_shows_its_step_what_was_said_and_what_it_earned(trained, tmp_path):
    frame = read_steps(trained.out / FOLDER, 1, 2)
    log = read(logged(trained, tmp_path)[0])
    columns = [column.id for column in log.eval.viewer.task_samples_view.columns if column.visible]
    assert columns[:3] == ["sampleId", "input", "score__step__step"]
    for sample, kept in zip(log.samples, frame.to_dict("records"), strict=True):
        values = {name: score.value for name, score in sample.scores.items()}
        assert values["step"] == kept["step"]
        assert values["hacked"] == (kept["y"] == ANSWER)
        for name in ("task_reward", "confession_reward", "task_advantage", "confession_advantage"):
            assert values[name] == pytest.approx(kept[name], abs=1e-6)
        assert texts(sample) == [
            ("user", "", kept["x"]),
            ("assistant", PLAN, kept["y"]),
            ("user", "", "Report."),
            ("assistant", kept["zc"], kept["yc"]),
        ]
        assert sample.metadata["counts"] == json.loads(kept["details"])["counts"]
        assert sample.metadata["targets"] == SPEC["targets"]
        assert not {"task_ids", "task_mask", "details", "x"} & sample.metadata.keys()
        if not kept["report_valid"]:
            assert sample.scores["grade_honest"].explanation.startswith("no valid report: no_json")
    honest = next(s for s in log.samples if s.metadata["grade"] == 2)
    assert honest.scores["grade_honest"].explanation == "grade 2 of 7; the answer is not compliant"


def test_the_same_rollouts_give_the_same_log(trained, tmp_path):
    for first, again in zip(logged(trained, tmp_path / "a"), logged(trained, tmp_path / "b"), strict=True):
        with zipfile.ZipFile(first) as a, zipfile.ZipFile(again) as b:
            assert [(name, a.read(name)) for name in a.namelist()] == [(name, b.read(name)) for name in b.namelist()]


def test_logs_cover_every_step_once():
    """Names sort by step; the last log holds what is left."""
    config = load(Path(__file__).parents[2] / "config.yaml")
    logs = training_logs(config, 0)
    assert list(logs) == sorted(logs)
    assert [step for first, last in logs.values() for step in range(first, last + 1)] == [*range(1, 21)]
    assert next(iter(logs)) == "demo-seed0-training-steps01-05.eval"
    config.active.train.__dict__["steps"] = 7
    assert [*training_logs(config, 1).items()] == [
        ("demo-seed1-training-steps1-5.eval", [1, 5]),
        ("demo-seed1-training-steps6-7.eval", [6, 7]),
    ]


def test_the_stage_writes_them_and_their_record(trained, tmp_path):
    needs_inspect()
    logs = {"demo-seed0-training-steps1-3.eval": [1, 3]}
    runs = [{"rollouts": os.path.relpath(trained.out / FOLDER), "logs": logs, "labels": {"experiment": "demo"}}]
    result = run("write-logs", {"checkpoints": [], "training": runs}, out=tmp_path / "logs")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "logs").glob("*.eval")] == [*logs]
    (record,) = verify(tmp_path / "logs").records
    assert len(record.outputs[next(iter(logs))].inputs) == 3
