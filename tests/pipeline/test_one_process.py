"""Training and rollouts without Snakemake: the files of the workflow, and one engine for all."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from confessions.config import load
from confessions.engines import vllm
from confessions.pipeline import one_process, paths
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet

ROOT = Path(__file__).parents[2]
SMALL = {
    "seeds": [0, 1],
    "train": {"steps": 1, "prompts_per_step": 1, "generations": 2, "micro_batch": 2, "warmup_steps": 0,
              "max_task_tokens": 6, "max_confession_tokens": 6, "checkpoint_fractions": [0, 1]},
    "evaluation": {"conditions": ["baseline"], "variants": ["default"], "rollouts": 2, "max_task_tokens": 6,
                   "max_confession_tokens": 6, "batch_size": 4, "probes": {"more": {"rollouts": 2}}},
    "survey": None,
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    import yaml

    over = tmp_path / "over.yaml"
    over.write_text(yaml.safe_dump({"experiments": {"demo": SMALL | {"policy": "nano-xs"}}}))
    return load(ROOT / "config.yaml", over)


def test_what_is_made_is_what_the_workflow_makes_and_is_made_once(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_process.run(config, ["demo:1"], lambda line: None)
    for step in (0, 1):
        for file in (paths.rollout_file(config, 1, step), paths.rollout_file(config, 1, step, "more")):
            assert set(read_parquet(file)["training_seed"]) == {1}, file
            assert set(read_parquet(file)["step"]) == {step}
        assert (Path(paths.adapter_folder(config, 1, step)) / "adapter_model.safetensors").exists()
    assert not Path(paths.run_folder(config, 0)).exists()
    before = {file: file.stat().st_mtime_ns for file in Path("results").rglob("*") if file.is_file()}
    one_process.run(config, ["demo:1"], lambda line: None)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    changed = config.model_dump()
    changed["experiments"]["demo"]["train"]["learning_rate"] *= 2
    one_process.run(load(changed), ["demo:1"], lambda line: None)
    for name in (paths.adapter_folder(config, 1, 1) + "/adapter_model.safetensors", paths.rollout_file(config, 1, 1)):
        assert Path(name).stat().st_mtime_ns > before[Path(name)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("qwen_judge", "give experiment:seed"),
        ("none:0", "give experiment:seed"),
        ("scale:0", "give experiment:seed"),
        ("demo:7", "demo has the seeds 0, 1"),
        ("demo:7:0", "give experiment:seed"),
    ],
)
def test_a_name_that_is_none_is_one_line(config, name, said):
    with pytest.raises(InputError, match=said):
        one_process.run(config, [name], lambda line: None)


def test_a_calibration_that_is_read_is_made_before_and_once(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = config.model_dump()
    file = Path(paths.calibration_file("nano-xs"))
    asked = {"task": "instructions", "problems": str(file), "policy": None, "train": None}
    changed["experiments"]["demo"] |= asked | {"scale": ["nano-xs"], "ladder": [], "survey": None}
    del changed["experiments"]["demo"]["seeds"]
    changed["experiments"]["demo"]["evaluation"] |= {"probes": {}}
    made = []

    def measured(spec, model, out, say):
        made.append((spec.model.key, model, out))
        (out / file.name).parent.mkdir(parents=True)
        (out / file.name).touch()

    monkeypatch.setattr(one_process.calibrate, "run", measured)
    monkeypatch.setattr(one_process, "_compare", lambda config, say: None)
    read = load(changed)
    for _ in range(2):
        one_process.run(read, ["demo"], lambda line: None)
    assert made == [("nano-xs", Path(paths.model_folder("nano-xs")), file.parent)]


def test_models_that_vllm_samples_have_a_command_each(config, tmp_path, monkeypatch):
    """The command is a stand-in: what it is told, and that its files are not made again."""
    monkeypatch.chdir(tmp_path)
    changed = config.model_dump()
    changed["experiments"]["demo"] |= {"scale": ["nano-xs"], "ladder": [], "engine": "vllm"}
    commands, code = [], 1
    made = load(changed)

    def fake(line, check):
        commands.append(line[3:4] + line[6:])
        if not code:
            for name in line[line.index("--work") + 2 :]:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).touch()
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(one_process, "subprocess", SimpleNamespace(run=fake))
    with pytest.raises(InputError, match="rollout of nano-xs ended with 1, as said above; the same command goes on"):
        one_process.run(made, ["demo"], lambda line: None)
    code = 0
    one_process.run(made, ["demo"], lambda line: None)
    one_process.run(made, ["demo"], lambda line: None)
    files = [paths.model_rollout_file(made, "nano-xs", probe) for probe in ("", "more")]
    model, work = paths.model_folder("nano-xs"), paths.rollout_work(made)
    assert commands == [["rollout", "--model", model, "--work", work, *files]] * 2


def test_a_training_of_every_weight_is_the_workflows(config):
    changed = config.model_dump()
    changed["experiments"]["demo"]["train"]["lora"] = None
    with pytest.raises(InputError, match="trains every weight: run it by snakemake"):
        one_process.run(load(changed), ["demo:0"], lambda line: None)


def test_an_engine_that_is_kept_serves_every_start_and_ends_once(monkeypatch, tmp_path):
    started, ended = [], []

    def fake(options, folder, *rest):
        started.append((options["max_model_len"], folder.name))
        config = SimpleNamespace(max_model_len=9, logprobs_mode="raw_logprobs")
        core = SimpleNamespace(engine_core=SimpleNamespace(shutdown=lambda: ended.append(folder.name)))
        return vllm.VllmEngine(SimpleNamespace(model_config=config, llm_engine=core), None, eos=[1])

    monkeypatch.setattr(vllm, "_start", fake)
    asked = {"max_model_len": 5}, tmp_path / "a", "bfloat16", None
    assert not vllm.running()
    with vllm.kept({"max_model_len": 7}):
        first, second = vllm.start(*asked, 3), vllm.start(*asked, 8)
        assert first is second
        assert second.batch_size == 8
        first.close()
        assert (started, ended, vllm.running()) == ([(7, "a")], [], True)
        with pytest.raises(InputError, match="temperature 1, top_p 1, top_k 0"):
            vllm.start(*asked, 3, logprobs="processed_logprobs")
    assert (ended, vllm.running()) == (["a"], False)
    assert vllm.start(*asked, 4) is not first
    assert started[-1] == (5, "a")


def test_a_model_that_is_compared_is_sampled_as_it_is_and_judged_where_a_model_judges(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "confessions.scoring.judge._verdict_tokens", lambda tokenizer: ([], [5, 6])
    )  # a word of its own
    changed = config.model_dump()
    changed["models"]["plain"] = changed["models"]["nano-xs"] | {"thinking": False}
    shown = {"kind": "post_trained", "base": "nano-xs", "method": "sft", "data": "generated", "task": "word_count"}
    shown |= {"steps": 1, "prompts_per_step": 1, "learning_rate": 1e-3, "kl_weight": 0.0, "micro_batch": 1, "seed": 0}
    changed["models"]["shown"] = changed["models"]["nano-xs"] | {"source": shown}
    judge = {"kind": "llm", "model": "plain", "threshold": 0.5, "min_mass": 0.0, "batch_size": 4}
    changed["experiments"]["demo"] |= {"scale": ["nano-xs"], "ladder": ["shown"], "judge": judge}
    judged = load(changed)
    one_process.run(judged, ["demo", "demo:0"], lambda line: None)
    files = [paths.model_score_file(judged, key, probe) for key in ("nano-xs", "shown") for probe in ("", "more")]
    files += [paths.score_file(judged, 0, step, probe) for step in (0, 1) for probe in ("", "more")]
    for file in files:
        scores = read_parquet(file)
        own = "more" not in file
        assert set(scores["judge"]) == {"llm:plain" if own else "label_trusting"}, file
        assert scores["judge_p_pass"].between(0, 1).all() == own
    before = {file: Path(file).stat().st_mtime_ns for file in files}
    one_process.run(judged, ["demo", "demo:0"], lambda line: None)
    assert {file: Path(file).stat().st_mtime_ns for file in files} == before
