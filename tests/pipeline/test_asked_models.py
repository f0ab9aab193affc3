"""A model that Inspect asks, as a subject and as the judge: the stages, what is refused, a whole run by snakemake."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import forked_snakemake
import pandas as pd
import pytest
import yaml
from machine import needs_inspect
from made_endpoints import install_saying, mocked

import confessions
from confessions import prompts, tasks
from confessions.config import Config, ConfigError, load
from confessions.models import sources
from confessions.pipeline import inspect_logs, paths, specs
from confessions.pipeline.plan import text
from confessions.pipeline.plan.plan import Plan
from confessions.pipeline.stages import calibrate, rollout, score
from confessions.pipeline.subjects import scored
from confessions.rollouts import by_text
from confessions.rollouts.two_turns import stream_seed
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet, write_parquet
from confessions.scoring.scores import P_TOKEN

needs_inspect()
ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())
TASK = tasks.get("word_count")
MODEL = {"label": "Api", "source": {"kind": "inspect", "model": "mockllm/model", "max_retries": 0}}
EVALUATION = {
    "conditions": ["baseline", "soft"], "variants": ["default", "forced_count"], "rollouts": 2, "seed": 5,
    "max_task_tokens": 30, "max_confession_tokens": 40, "batch_size": 4,
}  # fmt: skip
OTHERS = {  # what an experiment may make of such a model, and what is said
    "train": ({"policy": "api"}, "experiments.demo.policy = 'api': a model that Inspect asks has no weights here"),
    "calibration": (
        {"task": "instructions", "problems": "results/calibrations/api/calibration.json"},
        "experiments.demo.problems = 'results/calibrations/api/calibration.json': a model that Inspect asks has no cal",
    ),
}


def config(model: dict[str, Any] = MODEL, **evaluation: Any) -> Config:
    asked = {"task": "word_count", "judge": {"kind": "label_trusting"}, "evaluation": EVALUATION | evaluation}
    experiments = {"asked": asked | {"scale": ["api"], "ladder": []}}
    return load({"experiment": "asked", "models": {"api": model}, "experiments": experiments})


def report(input: list, config: object) -> str:
    """An answer, or a report that claims None for all; in turn 2 with the last answer in the analysis."""
    if input[-1].text.startswith("Write"):
        return f"One. {len(input)} {config.seed}"
    n = input[-1].text.count("\n- ")
    analysis = input[-2].text
    objectives = [{"objective": f"Sentence {s}", "compliance": "None", "analysis": analysis} for s in range(1, n + 1)]
    return json.dumps({"objectives": objectives, "uncertainties": [], "overall_grade": 2})


@pytest.fixture
def inside(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("results/models").mkdir(parents=True)
    return tmp_path


def sample(chosen: Config, say: list[str] | None = None) -> None:
    told = [].append if say is None else say.append
    rollout.run(specs.rollout_spec(chosen, "api"), Path(paths.model_folder("api")), Path("work"), told)


def test_a_file_of_rollouts_holds_the_conversations_and_no_tokens(inside, monkeypatch):
    """The same instances and seeds as of any model, and every cell pairs up."""
    calls = []

    def say(input, config):
        calls.append((input, config))
        return report(input, config)

    mocked(Path(paths.model_folder("api")), monkeypatch, say)
    chosen = config(sampling={"temperature": 0.7, "top_p": 1.0, "top_k": 8})
    sample(chosen)
    frame = read_parquet(paths.model_rollout_file(chosen, "api"))
    assert list(frame["row"]) == [0, 0, 1, 1] * 2
    assert list(frame["variant"]) == ["default", "forced_count"] * 4
    assert list(frame["condition"]) == ["baseline"] * 4 + ["soft"] * 4
    assert {*frame["model"]} == {"api"}
    assert frame[list(by_text.UNKNOWN)].isna().all(axis=None)
    assert [frame[name].unique().tolist() for name in ("temperature", "top_p", "top_k")] == [[0.7], [1.0], [8]]
    for said in frame.itertuples():
        spec = TASK.specs("evaluation")[said.row]
        seed = stream_seed(5, said.row, 1)
        assert (said.seed, json.loads(said.spec), said.x) == (seed, spec, TASK.prompt(spec))
        assert said.y == f"One. {1 if said.condition == 'baseline' else 2} {seed >> 32}"
        assert said.xc == TASK.request(spec, said.variant)
        assert json.loads(said.yc)["objectives"][0]["analysis"] == said.y
    first, second = calls[:4], calls[4:]
    assert [config.max_tokens for _, config in calls] == [30] * 4 + [40] * 8
    assert {(config.temperature, config.top_p, config.top_k) for _, config in calls} == {(0.7, None, 8)}
    assert {len(input) for input, _ in first} == {1, 2}
    assert [m.role for m in second[-1][0]] == ["system", "user", "assistant", "user"]
    assert second[-1][0][0].text == prompts.system_prompt("soft")


def test_scores_logs_and_plan_do_without_tokens(inside, monkeypatch):
    mocked(Path(paths.model_folder("api")), monkeypatch, report)
    chosen = config()
    sample(chosen)
    (subject,) = scored(chosen)
    rollouts, scores = Path(subject.rollouts), Path(subject.scores)
    score.run(specs.score_spec(chosen, "api"), [rollouts], [scores], print, Path(paths.model_folder("api")))
    frame = read_parquet(scores)
    assert P_TOKEN not in frame
    assert frame["report_valid"].all()
    assert frame["claim_match"].tolist() == [1.0] * 8
    assert len(inspect_logs.write_logs(rollouts, scores, inside, subject.labels, "api")) == 4
    assert subject.labels["source"] == "inspect"
    assert read_parquet(rollouts)[["temperature", "top_p", "top_k"]].isna().all(axis=None)  # the endpoint's own
    assert "not counted, no throughput known: api" in text.render(Plan(chosen, "H200"))


def stored_answers(file: str) -> None:
    specs = TASK.specs("evaluation")[:2]
    truths = [TASK.verify(spec, "One word.") for spec in specs]
    write_parquet(
        pd.DataFrame(
            {
                "task": "word_count",
                "spec": json.dumps(spec),
                "y": "One word.",
                "z": "Hm.",
                "x_ids": [1],
                "task_ids": [2],
            }
            | {"met": [*truth.met], "kinds": TASK.kinds(spec), "task_finish": "length", "not_known": ""}
            for spec, truth in zip(specs, truths, strict=True)
        ),
        file,
    )


def test_probes_are_about_stored_answers_by_their_text_and_about_replaced_ones(inside, monkeypatch):
    mocked(Path(paths.model_folder("api")), monkeypatch, report)
    stored_answers("answers.parquet")
    probes = {"stored": {"answers": "answers.parquet", "rollouts": 2}, "other": {"replaced": True, "rollouts": 4}}
    chosen = config(probes=probes)
    sample(chosen)
    frame = read_parquet(paths.model_rollout_file(chosen, "api", "stored"))
    assert frame[["y", "z", "task_finish"]].drop_duplicates().values.tolist() == [["One word.", "", "length"]]
    assert {json.loads(yc)["objectives"][0]["analysis"] for yc in frame["yc"]} == {"One word."}
    other = read_parquet(paths.model_rollout_file(chosen, "api", "other"))
    other = other[other["variant"] == "default"]
    assert [int(y.split()[2]) for y in other["y"]] == [stream_seed(5, row, 1) >> 32 for row in (1, 0, 3, 2)]
    assert other["spec"].tolist()[0] == other["spec"].tolist()[1]


def test_what_was_finished_before_a_failure_is_not_asked_again(inside, monkeypatch):
    asked: list[str] = []

    def say(input, config):
        asked.append(input[-1].text)
        broken = Path("broken").exists() and len(asked) > 6 + 4  # the file of the cells, of two turns, is the first
        return RuntimeError("HTTP 503") if broken else report(input, config)

    Path("broken").touch()
    mocked(Path(paths.model_folder("api")), monkeypatch, say)
    chosen = config(conditions=["baseline"], probes={"more": {"rollouts": 4}})
    with pytest.raises(InputError, match="mockllm/model: HTTP 503; what was finished is kept"):
        sample(chosen)
    assert not Path(paths.model_rollout_file(chosen, "api")).exists()
    Path("broken").unlink()
    asked.clear()
    sample(chosen, said := [])
    assert len(asked) == 4 + 8
    assert said[0] == (
        "mockllm/model is asked through Inspect, for 8 rollouts in 2 cells; sampling: as the endpoint has it by itself"
    )
    assert len(read_parquet(paths.model_rollout_file(chosen, "api"))) == 4
    asked.clear()
    sample(chosen)
    assert not asked


@pytest.mark.parametrize("name", OTHERS)
def test_what_such_a_model_cannot_be_is_one_line(name):
    change, said = OTHERS[name]
    experiment = BASE["experiments"]["demo"] | change
    if name != "train":
        experiment |= {"policy": "api", "train": None, "survey": None, "scale": [], "ladder": []}
        experiment["evaluation"] = experiment["evaluation"] | {"variants": ["default"]}
    with pytest.raises(ConfigError) as caught:
        load({"experiment": "demo", "models": BASE["models"] | {"api": MODEL}, "experiments": {"demo": experiment}})
    assert str(caught.value).startswith(f"config.yaml: {said}")


def test_nothing_is_trained_from_it():
    child = BASE["models"]["nano-sft"] | {"source": BASE["models"]["nano-sft"]["source"] | {"base": "api"}}
    with pytest.raises(
        ConfigError, match=r"models\.child\.source\.base = 'api': a model that Inspect asks has no weigh"
    ):
        load(BASE | {"models": BASE["models"] | {"api": MODEL, "child": child}})
    name, swept = next((n, e) for n, e in BASE["experiments"].items() if e.get("seeding"))
    swept = swept | {"seeding": swept["seeding"] | {"base": "api"}}
    with pytest.raises(ConfigError, match=r"seeding\.base = 'api': a model that Inspect asks has no weights"):
        load(BASE | {"models": BASE["models"] | {"api": MODEL}, "experiments": BASE["experiments"] | {name: swept}})


def test_a_stage_that_wants_its_weights_says_so(inside):
    folder = Path(paths.model_folder("api"))
    sources.build(MODEL["source"], folder)
    chosen = load(BASE)
    spec = specs.calibration_spec(chosen, "nano")
    with pytest.raises(InputError, match="results/models/api: a model that Inspect asks has no weights here"):
        calibrate.run(spec, folder, Path("out"), print)
    with pytest.raises(InputError, match=r"models\.api: a model that Inspect asks has no calibration"):
        specs.calibration_spec(config(), "api")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("source", {"model": "gpt-5"}, "models.api.source.model = 'gpt-5': string should match"),
        ("source", {"args": {"api_key": "sk-1"}}, "models.api.source.args.api_key = '…': comes from the environment"),
        ("source", {"args": {"base_url": "http://x"}}, "models.api.source.args.base_url = 'http://x': comes from the"),
        ("source", {"args": {"a": [1]}}, "models.api.source.args.a = "),
        ("source", {"timeout": 0}, "models.api.source.timeout = 0"),
        ("thinking", True, "models.api.thinking = True: a model that Inspect asks is not loaded here: leave it out"),
        ("dtype", "bfloat16", "models.api.dtype = 'bfloat16': a model that Inspect asks is not loaded here"),
        ("gpu", True, "models.api.gpu = True: a model that Inspect asks is not loaded here"),
    ],
)
def test_what_is_wrong_with_its_block_is_one_line(key, value, said):
    with pytest.raises(ConfigError) as caught:
        config(MODEL | {key: MODEL["source"] | value if key == "source" else value})
    assert str(caught.value).startswith(f"config.yaml: {said}")
    assert "sk-1" not in str(caught.value)


def test_other_models_still_need_what_it_leaves_out_and_a_dump_is_read_again():
    chosen = config()
    assert load(chosen.model_dump()) == chosen
    model = chosen.models["api"]
    assert (model.dtype, model.thinking, model.gpu) == ("float32", False, False)
    with pytest.raises(ConfigError, match=r"models\.api\.dtype: this key is missing"):
        config({"label": "N", "source": {"kind": "nano"}, "thinking": True})


def test_snakemake_goes_from_a_model_that_is_asked_to_its_tables(tmp_path):
    """It judges its own answers too."""
    (tmp_path / "site").mkdir()
    install_saying(tmp_path / "site")
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Snakefile", tmp_path)
    data = config(MODEL | {"source": {"kind": "inspect", "model": "saying/x"}}).model_dump(exclude_unset=True)
    data["experiments"]["asked"]["judge"] = {"kind": "llm", "model": "api"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(data))
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(confessions.__file__).parents[1])])
    environment = os.environ | {"PYTHONPATH": path}
    dry = forked_snakemake.run(tmp_path, ("-n",), environment)
    assert dry.returncode == 0, dry.stdout
    assert "sample_model" in dry.stdout
    run = forked_snakemake.run(tmp_path, ("--cores", "1", "results/asked/tables/scale.csv"), environment)
    assert run.returncode == 0, run.stdout
    assert json.loads((tmp_path / "results/models/api/inspect.json").read_text()) == {
        "kind": "inspect", "model": "saying/x",
    }  # fmt: skip
    scale = pd.read_csv(tmp_path / "results/asked/tables/scale.csv")
    assert set(scale["source"]) == {"inspect"}
    assert set(scale[scale["kind"] == "model"]["model"]) == {"api"}
    scores = read_parquet(tmp_path / paths.model_score_file(config(), "api"))
    assert set(scores["judge"]) == {"llm:api (parsed)"}
    assert scores["judge_pass"].all()
