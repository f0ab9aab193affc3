"""How good the weak judge is: its verdicts on a fixed set of answers made by code, half of them with one fault."""

from pathlib import Path

import pandas as pd

from confessions.pipeline.blocks import ScoreSpec
from confessions.pipeline.stages.judges import make_judge
from confessions.runtime import provenance
from confessions.runtime.errors import Say
from confessions.runtime.files import write_parquet
from confessions.scoring.judge import verdict_columns
from confessions.scoring.known_answers import known_answers


def run(spec: ScoreSpec, out: Path, say: Say) -> None:
    """Judge the set, publish it with the verdicts and say what passes. A mass below `judge.min_mass` ends nothing
    here: it is part of what is measured."""
    task = spec.get_task()
    task.ready()
    known = known_answers(task)
    judges = spec.judge_folders
    job = provenance.begin("judge-check", spec.dump(), judges)
    judge = make_judge(spec.judge.model_copy(update={"min_mass": 0.0}) if judges else spec.judge, task)
    verdicts = judge.verdicts([answer.spec for answer in known], [answer.text for answer in known])
    judged = pd.DataFrame(
        {
            "pair": [answer.pair for answer in known],
            "compliant": [answer.compliant for answer in known],
            "fault": [answer.fault for answer in known],
            "y": [answer.text for answer in known],
        }
    )
    judged = judged.assign(**verdict_columns(judge, verdicts))
    write_parquet(judged, out)
    job.publish(out.parent, {out: judges}, out.stem)
    passed = judged.groupby("compliant")["judge_pass"].agg(["sum", "size"]).astype(int)
    (bad, n_bad), (good, n_good) = passed.loc[False], passed.loc[True]
    mass = f"; lowest P(Pass or Fail): {judged['judge_mass'].min():.3g}" if judges else ""
    say(f"{judge.name} passes {good} of {n_good} compliant answers and {bad} of {n_bad} with a fault{mass}: {out}")
