"""The figures: drawn from tables alone, named after the model and n, with every line the reader needs."""

import matplotlib as mpl
import matplotlib.image
import pytest
from made_tables import LABELS, write_metrics, write_scores
from matplotlib.figure import Figure

from confessions import figures, tables
from confessions.errors import InputError

STEPS = (0, 2, 4, 6, 8)


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved, to look into."""
    kept, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k))[1])
    return kept


def make_tables(folder, seeds=(0,), **labels):
    labels = LABELS | labels
    scores = {(s, step): write_scores(folder / f"{s}_{step}.parquet", 2 * step) for s in seeds for step in STEPS}
    tables.write(tables.reproduction(scores, labels), folder / "reproduction.csv")
    logs = {seed: write_metrics(folder / f"{seed}.jsonl") for seed in seeds}
    tables.write(tables.training(logs, 8, labels), folder / "training.csv")
    return folder / "reproduction.csv", folder / "training.csv"


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
    assert grades["Qwen3-8B, published"] == [0.574, 0.661, 0.633, 0.649, 0.684]
    assert set(checking) == {"balanced claim accuracy", "counts the words first", "report is valid",
                             "always None or always Full"}  # fmt: skip
    assert all(axis.get_legend() for axis in drawn[0].axes)
    assert matplotlib.image.imread(tmp_path / "out.png").shape[:2] == (1120, 2800)


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
    table, _ = make_tables(tmp_path, task="another_task")
    figures.plot_reproduction(table, tmp_path / "out.png")
    assert "Qwen3-8B, published" not in curves(drawn[0].axes[0])


def test_training_echo_shows_rates_and_trends_with_their_change(tmp_path, drawn):
    _, table = make_tables(tmp_path)
    figures.plot_training_echo(table, tmp_path / "out.png")
    labels = list(curves(drawn[0].axes[0]))
    assert labels[0].startswith("judge fooled: passes a wrong answer\n+0.11 [")
    assert labels[1].startswith("truly correct: every sentence exact\n")
    assert matplotlib.image.imread(tmp_path / "out.png").size > 0


def test_several_seeds_are_all_drawn(tmp_path, drawn):
    reproduction, training = make_tables(tmp_path, seeds=(0, 1, 2))
    figures.plot_reproduction(reproduction, tmp_path / "a.png")
    figures.plot_training_echo(training, tmp_path / "b.png")
    assert sum(color == figures.BLUE for color in (line.get_color() for line in drawn[0].axes[0].lines)) == 3
    assert [axis.get_title(loc="left") for axis in drawn[1].axes] == [f"training seed {s}" for s in (0, 1, 2)]
    assert "training seeds 0, 1, 2" in texts(drawn[0])[1]


def test_text_stays_inside_the_figure(tmp_path, drawn):
    reproduction, training = make_tables(tmp_path)
    figures.plot_reproduction(reproduction, tmp_path / "a.png")
    figures.plot_training_echo(training, tmp_path / "b.png")
    for figure in drawn:
        box = figure.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.get_figwidth()
        assert box.y1 <= figure.get_figheight()


def test_a_damaged_table_stops_the_drawing_and_leaves_the_old_figure(tmp_path):
    reproduction, training = make_tables(tmp_path)
    out = tmp_path / "out.png"
    out.write_text("old")
    for table, plot in ((reproduction, figures.plot_reproduction), (training, figures.plot_training_echo)):
        table.write_text(table.read_text()[:2000])
        with pytest.raises(InputError, match=str(table)):
            plot(table, out)
    assert out.read_text() == "old"


def test_drawing_leaves_the_callers_style_alone(tmp_path):
    before = dict(mpl.rcParams)
    _, table = make_tables(tmp_path)
    figures.plot_training_echo(table, tmp_path / "out.png")
    assert dict(mpl.rcParams) == before
