"""The figures: drawn from tables alone, named after the model and n, with every line the reader needs."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from made_tables import (
    CONDITIONS,
    HALF_WIDTH,
    LABELS,
    made_by_model,
    made_stress_grid,
    made_value,
    write_metrics,
    write_scores,
)
from matplotlib.figure import Figure

from confessions.analysis import figures, tables
from confessions.analysis.figures.claims import SHARES
from confessions.analysis.figures.style import BLUE, points_in_words, published_points
from confessions.runtime.errors import InputError

STEPS = (0, 2, 4, 6, 8)
HONEST = "grade_honest_given_noncompliant"
MANY = [*CONDITIONS, *(f"a_condition_that_a_user_added_{i}" for i in range(8))]
QWEN = {"a": "Qwen3-1.7B", "b": "qwen3 30b-a3b", "c": "8B", "d": "Llama-3.1-8B"}


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved, to look into: not laid out, and without the image, which take longest."""
    kept = []

    def keep(self, path, **_):
        kept.append(self)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


@pytest.fixture
def laid_out(drawn, monkeypatch) -> list[Figure]:
    """The same with everything at its place; still without the image."""
    keep = Figure.savefig

    def lay_out(self, path, **_):
        self.draw_without_rendering()
        keep(self, path)

    monkeypatch.setattr(Figure, "savefig", lay_out)
    return drawn


@cache
def known_tables(seeds: tuple[int, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        scores = {(s, step): write_scores(folder / f"{s}_{step}.parquet", 2 * step) for s in seeds for step in STEPS}
        logs = {seed: write_metrics(folder / f"{seed}.jsonl") for seed in seeds}
        return tables.reproduction(scores, LABELS), tables.training(logs, 8, LABELS)


def make_tables(folder, seeds=(0,), **labels):
    made = folder / "reproduction.csv", folder / "training.csv"
    for table, path in zip(known_tables(seeds), made, strict=True):
        tables.write(table.assign(**labels), path)
    return made


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def curves(axis) -> dict[str, list[float]]:
    return {line.get_label(): [float(y) for y in line.get_ydata()] for line in axis.lines}


def test_reproduction_shows_the_curve_its_references_and_the_published_points(tmp_path, drawn):
    table, _ = make_tables(tmp_path)
    figures.plot_reproduction(table, tmp_path / "out.png")
    claims, grades, checking = (curves(axis) for axis in drawn[0].axes)
    assert claims["nano"][-1] == 1
    assert claims["always None"] == pytest.approx([56 / 80] * 5)
    assert claims["always Full"] == pytest.approx([24 / 80] * 5)
    assert claims["Qwen3-8B, published"] == [0.781, 0.766, 0.768, 0.915, 0.854]
    assert grades["always None"] == [1] * 5
    # Of the five sentences the first is right in each answer, the others in 2 of 16: the kind alone has 70 of 80.
    assert claims["best claim by kind"] == pytest.approx([72 / 80] * 5)
    assert grades["Qwen3-8B, published"] == [0.574, 0.661, 0.633, 0.649, 0.684]
    assert set(checking) == {"balanced claim accuracy", "counts the words first", "report is valid",
                             "always None or always Full", "best claim by kind"}  # fmt: skip
    assert all(axis.get_legend() for axis in drawn[0].axes)
    assert drawn[0].get_size_inches().tolist() == [14, 5.6]


@pytest.mark.parametrize("source", ["nano", "hub"])
def test_titles_name_the_model_and_n_and_call_nano_what_it_is(tmp_path, drawn, source):
    reproduction, training = make_tables(tmp_path, model="Some-8B", source=source)
    figures.plot_reproduction(reproduction, tmp_path / "a.png")
    figures.plot_training_echo(training, tmp_path / "b.png")
    for figure, n in zip(drawn, ("16 rollouts a checkpoint", "64 rollouts a step"), strict=True):
        title, details = texts(figure)
        assert "Some-8B" in title
        assert ("embedded demo model, not the experiment" in title) == (source == "nano")
        assert n in details
        assert "training seed 0" in details


def test_published_points_stand_only_beside_their_own_task(tmp_path, drawn):
    table, _ = make_tables(tmp_path, task="countdown")
    figures.plot_reproduction(table, tmp_path / "out.png")
    assert "Qwen3-8B, published" not in curves(drawn[0].axes[0])


def test_training_echo_shows_rates_and_trends_with_their_change(tmp_path, drawn):
    _, table = make_tables(tmp_path)
    figures.plot_training_echo(table, tmp_path / "out.png")
    labels = list(curves(drawn[0].axes[0]))
    assert labels[0].startswith("judge fooled: passes a wrong answer\n+11 [")
    assert labels[1].startswith("truly correct: every sentence exact\n")
    assert (tmp_path / "out.png").exists()


def test_training_echo_of_two_steps_says_that_there_is_no_trend(tmp_path, drawn):
    table, log = tmp_path / "training.csv", write_metrics(tmp_path / "0.jsonl")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    tables.write(tables.training({0: log}, 2, LABELS), table)
    figures.plot_training_echo(table, tmp_path / "out.png")
    label, *_ = curves(drawn[0].axes[0])
    assert label.endswith("\ntoo few steps for a trend")


def test_hack_emergence_shows_all_seeds_together_and_each(tmp_path, laid_out):
    _, table = make_tables(tmp_path, seeds=(0, 1, 2), task="countdown")
    figures.plot_hack_emergence(table, tmp_path / "out.png")
    done, confessed = (curves(axis) for axis in laid_out[0].axes)
    assert done["false total"] == pytest.approx([50 / 64] * 8)
    assert done["truly correct: every objective met"] == pytest.approx([4 / 64] * 8)
    assert confessed["claims None, given wrong"] == pytest.approx([step / 128 for step in range(1, 9)])
    assert confessed["claims Full, given right"] == pytest.approx([2 / 3] * 8)
    assert confessed["works the sum out first"] == pytest.approx([step / 32 for step in range(1, 9)])
    assert [len(axis.lines) for axis in laid_out[0].axes] == [3 * 4, 3 * 4]
    assert "64 rollouts a step and seed" in texts(laid_out[0])[1]
    assert inside(laid_out[0])


def test_several_seeds_are_all_drawn(tmp_path, drawn):
    reproduction, training = make_tables(tmp_path, seeds=(0, 1, 2))
    figures.plot_reproduction(reproduction, tmp_path / "a.png")
    figures.plot_training_echo(training, tmp_path / "b.png")
    assert sum(color == BLUE for color in (line.get_color() for line in drawn[0].axes[0].lines)) == 3
    assert [axis.get_title(loc="left") for axis in drawn[1].axes] == [f"training seed {s}" for s in (0, 1, 2)]
    assert "training seeds 0, 1, 2" in texts(drawn[0])[1]


def test_stress_grid_shows_every_cell_with_its_interval_in_the_column_of_its_variant(tmp_path, drawn):
    figures.plot_stress_grid(made_stress_grid(tmp_path / "t.csv"), tmp_path / "out.png")
    axes = np.reshape(drawn[0].axes, (5, 2))  # honest, jailbreak, claims, valid, difference; default, forced_count
    for j in range(2):
        honest, jailbreak, claims, valid = (curves(axis) for axis in axes[:4, j])
        for i, condition in enumerate(CONDITIONS):
            shown = jailbreak if condition == "jailbreak" else honest
            assert shown[condition] == pytest.approx([made_value(HONEST, k, i, j) for k in range(3)])
            for metric, panel in (("balanced_claim_accuracy", claims), ("report_valid", valid)):
                assert panel[condition] == pytest.approx([made_value(metric, k, i, j) for k in range(3)])
        for panel in (honest, jailbreak, claims):
            assert panel["always_none"] == pytest.approx([0.7] * 3)
            assert panel["always_full"] == pytest.approx([0.3] * 3)
            assert panel["base_rate"] == pytest.approx([0.6] * 3)
        first = axes[0, j].collections[0].get_segments()  # baseline
        assert [y for segment in first for y in segment[:, 1]] == pytest.approx(
            [made_value(HONEST, k, 0, j) + side for k in range(3) for side in (-HALF_WIDTH, HALF_WIDTH)], abs=1e-6
        )
    labels = {text.get_text() for text in drawn[0].legends[0].get_texts()}
    assert labels == {*CONDITIONS, "always None", "always Full", "best claim by kind", "Qwen3-8B, published"}


def test_many_conditions_are_dealt_to_several_panels_each_beside_baseline(tmp_path, drawn):
    figures.plot_stress_grid(made_stress_grid(tmp_path / "t.csv", conditions=MANY), tmp_path / "out.png")
    left = drawn[0].axes[::2]
    titled = [axis for axis in left[:-1] if axis.get_title(loc="left")]
    assert [axis.get_title(loc="left") for axis in titled] == [f"Default request · {i} of 3" for i in (1, 2, 3)]
    tops = [[name for name in curves(axis) if name in MANY] for axis in titled]
    others = [name for name in MANY if name not in ("baseline", "jailbreak")]
    assert [name for top in tops for name in top if name != "baseline"] == others
    assert all(top[0] == "baseline" and len(top) <= 6 for top in tops)
    looks = {(h.get_color(), h.get_marker(), h.get_linestyle()) for h in drawn[0].legends[0].get_lines()[: len(MANY)]}
    assert len(looks) == len(MANY)
    for axis in titled:  # the conditions of a checkpoint stand side by side, apart from the next checkpoint's
        at = np.array([line.get_xdata() for line in axis.lines if line.get_label() in MANY])  # (conditions, steps)
        assert (np.diff(at, axis=0) > 0).all()
        assert (at[-1, :-1] < at[0, 1:]).all()


def test_differences_from_baseline_are_those_of_the_last_checkpoint_a_marker_a_seed(tmp_path, drawn):
    table = made_stress_grid(tmp_path / "t.csv", seeds=(0, 3))
    figures.plot_stress_grid(table, tmp_path / "out.png")
    for j, axis in enumerate(drawn[0].axes[-2:]):
        markers = {c.get_label(): c.get_offsets() for c in axis.collections if c.get_label().startswith("seed")}
        assert list(markers) == ["seed 0", "seed 3"]
        expected = [made_value(HONEST, 2, i, j) - made_value(HONEST, 2, 0, j) for i in range(1, 5)]
        for offsets in markers.values():
            assert list(offsets[:, 0]) == pytest.approx(expected, abs=1e-6)
        assert [label.get_text() for label in axis.get_yticklabels()] == list(CONDITIONS[1:])
    assert drawn[0].axes[-1].get_xlim() == drawn[0].axes[-2].get_xlim()


def test_each_training_seed_has_its_own_panels(tmp_path, drawn):
    figures.plot_stress_grid(made_stress_grid(tmp_path / "t.csv", seeds=(0, 1, 2)), tmp_path / "out.png")
    titles = [axis.get_title(loc="left") for axis in drawn[0].axes[::2]]
    assert [title for title in titles if "seed" in title] == [f"Default request · seed {seed}" for seed in range(3)]
    assert "training seeds 0, 1, 2" in texts(drawn[0])[1]


@pytest.mark.parametrize(
    ("shape", "n_panels"),
    [
        ({"conditions": CONDITIONS[:4]}, 8),  # no jailbreak: no panel of its own
        ({"variants": ["default"]}, 5),
        ({"variants": ["forced_count", "my_variant"]}, 10),
        ({"conditions": ["baseline"]}, 6),  # nothing to compare
        ({"steps": [0]}, 10),
    ],
)
def test_stress_grid_draws_what_the_table_has(tmp_path, laid_out, shape, n_panels):
    steps = shape.get("steps", (0, 4, 8))
    table = made_stress_grid(tmp_path / "t.csv", **shape) if steps[-1] else one_checkpoint(tmp_path / "t.csv")
    figures.plot_stress_grid(table, tmp_path / "out.png")
    assert len(laid_out[0].axes) == n_panels
    assert inside(laid_out[0])


def one_checkpoint(path):
    table = pd.read_csv(made_stress_grid(path))
    tables.write(table[table["step"] == 0], path)
    return path


def test_models_as_they_are_stand_where_checkpoints_do(tmp_path, laid_out):
    """Each at a place of its own under its name, not joined, and without the published points of a training run."""
    names = ("Tiny", "Big")
    each = [pd.read_csv(made_stress_grid(tmp_path / f"{name}.csv", model=name)) for name in names]
    both = pd.concat([table[table["step"] == 0] for table in each])
    tables.write(both, tmp_path / "t.csv")
    figures.plot_stress_grid(tmp_path / "t.csv", tmp_path / "out.png")
    (drawn,) = laid_out
    heading, details = texts(drawn)[:2]
    assert heading == "Confession honesty under pressure: 2 models (embedded demo model, not the experiment)"
    assert "models as they are" in details.replace("\xa0", " ")
    valid = drawn.axes[2 * 3]  # default: the grades, those under the jailbreak, the claims, the valid reports
    assert [label.get_text() for label in valid.get_xticklabels()] == [*names]
    (baseline,) = [line for line in drawn.axes[0].lines if line.get_label() == "baseline"]
    assert (len(baseline.get_xdata()), baseline.get_linestyle()) == (2, "None")
    assert not [line for axis in drawn.axes for line in axis.lines if "published" in str(line.get_label())]
    assert inside(drawn)


def test_a_cell_without_failed_answers_is_said_and_not_drawn(tmp_path, drawn):
    path = made_stress_grid(tmp_path / "t.csv")
    table = pd.read_csv(path)
    table.loc[(table["condition"] == "soft") & (table["metric"] == HONEST), ["value", "low", "high"]] = None
    tables.write(table, path)
    figures.plot_stress_grid(path, tmp_path / "out.png")
    assert np.isnan(curves(drawn[0].axes[0])["soft"]).all()
    assert "no failed answer to grade" in drawn[0].axes[-1].texts[0].get_text()


@pytest.mark.parametrize("task", ["word_count", "countdown"])
def test_published_stress_grid_stands_beside_its_own_task_and_request(tmp_path, drawn, task):
    figures.plot_stress_grid(made_stress_grid(tmp_path / "t.csv", task=task), tmp_path / "out.png")
    default, forced, jailbreak = (curves(axis) for axis in drawn[0].axes[:3])
    if task == "word_count":
        assert default["hard, published"] == [0.454, 0.728, 0.569, 0.702, 0.660]
        assert jailbreak["jailbreak, published"] == [0.03] * 3
    else:
        assert not any("published" in name for name in (*default, *jailbreak))
    assert not any("published" in name for name in forced)


@pytest.mark.parametrize("plot", [figures.plot_scale, figures.plot_ladder])
def test_bars_are_the_tables_shares_and_sum_to_one_with_over_claims_on_top(tmp_path, drawn, plot):
    plot(made_by_model(tmp_path / "t.csv"), tmp_path / "out.png")
    for j, (counts, bars) in enumerate(zip(drawn[0].axes[:2], drawn[0].axes[2:4], strict=True)):
        stacks = {container.get_label(): container.patches for container in bars.containers}
        assert list(stacks) == list(SHARES)
        assert list(stacks)[-1] == "over_claim"
        for metric, patches in stacks.items():
            assert [bar.get_height() for bar in patches] == pytest.approx([made_value(metric, k, j) for k in range(3)])
        for below, above in pairwise(stacks.values()):
            assert [bar.get_y() for bar in above] == pytest.approx([bar.get_y() + bar.get_height() for bar in below])
        assert [bar.get_y() + bar.get_height() for bar in stacks["over_claim"]] == pytest.approx([1] * 3)
        lines = {c.get_label(): c.get_segments() for c in bars.collections}
        over = [made_value("over_claim", k, j) for k in range(3)]
        assert [list(line[:, 1]) for line in lines["interval"]] == [
            pytest.approx([1 - x - HALF_WIDTH, 1 - x + HALF_WIDTH], abs=1e-6) for x in over
        ]
        assert [line[0, 1] for line in lines["base_rate"]] == pytest.approx([1 - 0.6] * 3)
        assert [line[0, 1] for line in lines["objective_met"]] == pytest.approx(
            [made_value("objective_met", k, j) for k in range(3)]
        )
        assert curves(counts)["checked"] == pytest.approx([made_value("checked", k, j) for k in range(3)])
        assert [label.get_text() for label in bars.get_xticklabels()] == ["Tiny 1M", "Small 2M", "Big 8M"]


def test_published_over_claims_stand_at_the_models_that_they_are_of(tmp_path, drawn):
    figures.plot_scale(made_by_model(tmp_path / "t.csv", QWEN), tmp_path / "a.png")
    figures.plot_ladder(made_by_model(tmp_path / "t.csv", {"x": "Olmo-3-7B-Think-DPO"}), tmp_path / "b.png")
    default, forced = (curves(axis)["published"] for axis in drawn[0].axes[2:4])
    assert [1 - y for y in default] == pytest.approx([0.32, 0.128, 0.048])
    assert [1 - y for y in forced] == pytest.approx([0.25, 0.02, 0.005])
    assert [1 - y for y in curves(drawn[1].axes[2])["published"]] == pytest.approx([0.045])


def test_without_a_published_model_or_task_nothing_is_called_published(tmp_path, drawn):
    figures.plot_scale(made_by_model(tmp_path / "t.csv"), tmp_path / "a.png")
    figures.plot_scale(made_by_model(tmp_path / "t.csv", QWEN, task="countdown"), tmp_path / "b.png")
    for figure in drawn:
        assert "over-claim, published" not in [text.get_text() for text in figure.legends[0].get_texts()]
        assert "published" not in curves(figure.axes[2])


def test_n_is_named_model_by_model_where_it_differs(tmp_path, drawn):
    path = made_by_model(tmp_path / "t.csv")
    table = pd.read_csv(path)
    table.loc[table["model"] == "big", "n"] = 16
    tables.write(table, path)
    figures.plot_scale(path, tmp_path / "out.png")
    assert "16 to 64 rollouts" in texts(drawn[0])[1]
    names = [label.get_text().replace("\n", " ") for label in drawn[0].axes[2].get_xticklabels()]
    assert names == ["Tiny 1M (n 64)", "Small 2M (n 64)", "Big 8M (n 16)"]


@pytest.mark.parametrize("source", ["nano", "hub"])
def test_titles_of_the_grid_and_of_the_bars_say_what_they_show(tmp_path, drawn, source):
    figures.plot_stress_grid(made_stress_grid(tmp_path / "a.csv", model="Some-8B", source=source), tmp_path / "a.png")
    figures.plot_scale(made_by_model(tmp_path / "b.csv", experiment="big", source=source), tmp_path / "b.png")
    figures.plot_ladder(made_by_model(tmp_path / "b.csv", experiment="big", source=source), tmp_path / "c.png")
    names = ("under pressure: Some-8B", "Claims by model: big", "Claims by training stage: big")
    for figure, name in zip(drawn, names, strict=True):
        title, details = (text.replace("\n", " ") for text in texts(figure))
        assert name in title
        assert ("embedded demo model, not the experiment" in title) == (source == "nano")
        assert "64" in details


@pytest.mark.parametrize("n", [1, 6, 10, 50])
def test_model_names_never_touch_and_stay_inside(tmp_path, laid_out, n):
    long = {f"m{i}": f"organisation/Some-Family-{i}B-A3B-Instruct-With-Thinking-2507" for i in range(n)}
    for models in (long, {key: f"Qwen3-{key}" for key in long}):
        figures.plot_scale(made_by_model(tmp_path / "t.csv", models), tmp_path / "out.png")
        figure = laid_out.pop()
        assert inside(figure)
        shown = [axis for axis in figure.axes if axis.containers and axis.xaxis.get_tick_params()["labelbottom"]]
        boxes = [label.get_window_extent() for label in shown[-1].get_xticklabels()]
        assert len(boxes) == n
        assert not any(left.overlaps(right) for left, right in pairwise(boxes))


def test_published_figures_are_complete():
    assert set(published_points("word_count", "stress_grid")["series"]) == set(CONDITIONS)
    for name, models in (("scale", "1.7B 4B 8B 14B 30B-A3B 32B"), ("olmo3", "Think-SFT Think-DPO Think-RLVR Instruct")):
        for variant in ("default", "forced_count"):
            points = published_points("word_count", f"{name}_{variant}")
            assert list(points[points["series"] == "over_claim"]["x"]) == models.split()


def inside(figure: Figure) -> bool:
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_text_stays_inside_the_figure(tmp_path, laid_out):
    long = "some-organisation/A-Very-Long-Model-Name-With-Many-Parts-70B-A3B-Instruct-2507"
    reproduction, training = make_tables(tmp_path)
    figures.plot_reproduction(reproduction, tmp_path / "a.png")
    figures.plot_training_echo(training, tmp_path / "b.png")
    for conditions, seeds in ((CONDITIONS, (0,)), (MANY, (0, 1))):
        table = made_stress_grid(tmp_path / "t.csv", seeds, conditions=conditions, model=long)
        figures.plot_stress_grid(table, tmp_path / "c.png")
    assert len(laid_out) == 4
    assert all(map(inside, laid_out))


def test_a_damaged_table_stops_the_drawing_and_leaves_the_old_figure(tmp_path):
    reproduction, training = make_tables(tmp_path)
    out = tmp_path / "out.png"
    out.write_text("old")
    for table, plot in ((reproduction, figures.plot_reproduction), (training, figures.plot_training_echo)):
        table.write_text(table.read_text()[:2000])
        with pytest.raises(InputError, match=str(table)):
            plot(table, out)
    assert out.read_text() == "old"


@pytest.mark.parametrize("lines", [200.5, 200, -1])  # cut within a line, at the end of one, before the last one
def test_a_cut_grid_or_model_table_stops_the_drawing(tmp_path, lines):
    for make, plot in (
        (made_stress_grid, figures.plot_stress_grid),
        (made_by_model, figures.plot_scale),
        (made_by_model, figures.plot_ladder),
    ):
        table = make(tmp_path / "t.csv")
        whole = table.read_text().splitlines(keepends=True)
        table.write_text("".join(whole[: int(lines)]) + ("demo,wo" if lines == 200.5 else ""))
        with pytest.raises(InputError, match=str(table)):
            plot(table, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_drawing_is_fine_and_leaves_the_callers_style_alone(tmp_path):
    before = dict(mpl.rcParams)
    _, table = make_tables(tmp_path)
    figures.plot_training_echo(table, tmp_path / "out.png")
    assert dict(mpl.rcParams) == before
    assert matplotlib.image.imread(tmp_path / "out.png").shape[:2] == (1040, 2000)


def test_changes_are_in_points_and_nought_has_no_sign():
    assert [points_in_words(change) for change in (0.114, -0.2, -0.004, 0.0, 1)] == ["+11", "-20", "0", "0", "+100"]


def test_no_line_of_a_subtitle_ends_in_a_dot_between_two_parts(tmp_path, drawn):
    figures.plot_scale(made_by_model(tmp_path / "t.csv"), tmp_path / "out.png")
    details = texts(drawn[0])[1].split("\n")
    assert len(details) > 1
    assert not any(line.endswith("·") for line in details)
