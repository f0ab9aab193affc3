"""Tables and figures of the probes: exact numbers by kind and by probability, and what the figures draw of them."""

from pathlib import Path

import pandas as pd
import pytest
from made_probes import KINDS, write_probe
from made_tables import LABELS, score_row
from matplotlib.figure import Figure
from test_figures import drawn, inside, laid_out, texts  # noqa: F401
from test_tables import complaint, one

from confessions.analysis import figures, tables
from confessions.analysis.figures.style import RIVALS
from confessions.prompts.report import Compliance

FULL, NONE = Compliance.FULL, Compliance.NONE
NAMED = LABELS | {"task": "instructions"}
MODELS = {"small": "Small 2M"}


def make(table: str, policy: dict, models: dict) -> pd.DataFrame:
    return getattr(tables, table)(policy, models, NAMED, MODELS)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[dict, dict]:
    """Two seeds at two steps, better by step, in a probe; a plain model, whose tokens are not known."""
    folder = tmp_path_factory.mktemp("files")
    policy = {
        ("test", seed, step): write_probe(folder / f"{seed}_{step}.parquet", 0.5 + 0.1 * step, 60, seed, 4 - step)
        for seed in (0, 1)
        for step in (0, 4)
    }
    return policy, {("test", "small"): write_probe(folder / "small.parquet", 0.5, 60, 5, 6, tokens=False)}


@pytest.fixture(scope="module")
def written(files, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    for name in ("probes", "by_kind", "reliability"):
        tables.write(make(name, *files), folder / f"{name}.csv")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def known(tmp_path) -> dict:
    """Ten answers of one kind, six met: five claimed so, one not; of four unmet one is over-claimed; one report of a
    met one is invalid, and seven of nine findings are right."""
    met = [True] * 6 + [False] * 4
    claims = [FULL] * 4 + [NONE, None] + [FULL] + [NONE] * 3
    token = [0.95, 1.0, 0.91, 0.85, 0.15, None, 0.97, 0.12, 0.18, 0.11]
    rows = []
    for row, (truth, claim, p) in enumerate(zip(met, claims, token, strict=True)):
        found = {"finding_right": claim and [row > 1], "p_token": claim and [p], "task": "instructions"}
        said, grade = (None, None) if claim is None else ([claim], 7 if claim == FULL else 1)
        rows.append(score_row(row, [truth], said, grade, kinds=["no comma"], **found))
    path = tmp_path / "known.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return {("test", "small"): path}


def test_claims_and_findings_of_a_kind_are_exact(known):
    table = make("by_kind", {}, known)
    assert tuple(table.columns) == tables.BY_KIND_COLUMNS
    values = {row.metric: (round(row.value, 6), row.n) for row in table.itertuples()}
    assert values == {
        "claimed_met_given_met": (round(4 / 6, 6), 6),
        "claimed_unmet_given_unmet": (0.75, 4),
        "finding_right": (round(7 / 9, 6), 9),
    }
    assert set(table["kind_of_objective"]) == {"no comma"}


def test_reliability_counts_each_tenth(known):
    """Invalid reports claim nothing; a probability of 1 is in the last tenth; the rival has the rates of the halves."""
    table = make("reliability", {}, known)
    found = {
        (row.by, row.bin, row.metric): (round(row.value, 4), row.n)
        for row in table.itertuples()
        if row.by in ("token", "report")
    }
    assert found == {
        ("token", 1, "claimed_probability"): (0.14, 4),
        ("token", 1, "rate_met"): (0.25, 4),
        ("token", 8, "claimed_probability"): (0.85, 1),
        ("token", 8, "rate_met"): (1.0, 1),
        ("token", 9, "claimed_probability"): (0.9575, 4),
        ("token", 9, "rate_met"): (0.75, 4),
        ("report", 0, "claimed_probability"): (0.0, 4),
        ("report", 0, "rate_met"): (0.25, 4),
        ("report", 9, "claimed_probability"): (1.0, 5),
        ("report", 9, "rate_met"): (0.8, 5),
    }
    rival = table[(table["by"] == "base_rate") & (table["metric"] == "rate_met")]
    assert rival["n"].sum() == 10


def test_the_policys_last_checkpoint_stands_for_it(files):
    for name in ("by_kind", "reliability"):
        table = make(name, *files)
        assert set(table[table["seed"].notna()]["step"]) == {4}
        assert set(table[table["seed"].isna()]["label"]) == {"Small 2M"}
    assert not (make("reliability", {}, files[1])["by"] == "token").any()


@pytest.mark.parametrize(
    ("name", "plot"),
    [
        ("probes", figures.plot_self_knowledge),
        ("by_kind", figures.plot_by_kind),
        ("reliability", figures.plot_reliability),
    ],
)
def test_text_stays_inside_and_a_cut_table_is_refused(written, tmp_path, laid_out, name, plot):  # noqa: F811
    plot(written[name], tmp_path / "figure.png")
    assert inside(laid_out[0])
    assert "embedded demo model, not the experiment" in " ".join(" ".join(texts(laid_out[0])).split())
    lines = written[name].read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.csv"
    cut.write_text("".join(lines[:-1]))
    said = complaint(plot, cut, tmp_path / "figure.png")
    assert said.startswith(f"{cut}: not a whole table (rows are missing)")


def test_every_seed_and_model_is_drawn_beside_the_rivals(written, tmp_path, drawn):  # noqa: F811
    figures.plot_self_knowledge(written["probes"], tmp_path / "figure.png")
    within, auroc, valid = drawn[0].axes
    table = pd.read_csv(written["probes"])
    for axis, metric in ((within, "within_kind_balanced_accuracy"), (valid, "report_valid")):
        for seed in (0, 1):
            (line,) = [line for line in axis.lines if line.get_label() == f"training seed {seed}"]
            values = [one(table, seed=seed, step=step, metric=metric, kind="cell").value for step in (0, 4)]
            assert list(line.get_ydata()) == pytest.approx(values)
        (point,) = [line for line in axis.lines if line.get_label() == "Small 2M"]
        assert point.get_xdata()[0] < 0
    (by_token,) = [line for line in auroc.lines if line.get_label() == "training seed 0"]
    expected = [one(table, seed=0, step=step, metric="token_auroc", kind="cell").value for step in (0, 4)]
    assert list(by_token.get_ydata()) == pytest.approx(expected)
    for kind in RIVALS:
        lines = [line for line in auroc.lines if line.get_label() == kind]
        assert len(lines) == 3  # two seeds, one model
        assert lines[0].get_ydata()[0] == pytest.approx(one(table, seed=0, step=0, metric="auroc", kind=kind).value)
    assert {*within.lines[0].get_ydata()} == {0.5}


def test_a_row_of_the_kinds_is_a_mark_a_seed(written, tmp_path, drawn):  # noqa: F811
    figures.plot_by_kind(written["by_kind"], tmp_path / "figure.png")
    met = drawn[0].axes[0]
    names = [label.get_text() for label in met.get_yticklabels()]
    assert {*names} == {*KINDS}
    (line,) = [line for line in met.lines if line.get_label() == "training seed 1"]
    table = pd.read_csv(written["by_kind"])
    at = {"seed": 1, "metric": "claimed_met_given_met"}
    assert list(line.get_xdata()) == pytest.approx([one(table, **at, kind_of_objective=name).value for name in names])


def test_reliability_draws_the_identity_and_the_rivals_rates(written, tmp_path, drawn):  # noqa: F811
    figures.plot_reliability(written["reliability"], tmp_path / "figure.png")
    curves: Figure = drawn[0].axes[0]
    labels = [line.get_label() for line in curves.lines]
    assert labels.count("identity") == 1
    assert labels.count("base_rate") == 3
    table = pd.read_csv(written["reliability"])
    own = table[(table["seed"] == 0) & (table["by"] == "token")]
    (line,) = [line for line in curves.lines if line.get_label() == "training seed 0"]
    assert list(line.get_ydata()) == pytest.approx(list(own[own["metric"] == "rate_met"]["value"]))
    assert list(line.get_xdata()) == pytest.approx(list(own[own["metric"] == "claimed_probability"]["value"]))
