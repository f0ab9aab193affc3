"""How good the weak judge is: its verdicts on a fixed set of answers made by code, half of them with one fault."""

from pathlib import Path

import pandas as pd

from confessions.pipeline.stages import Block
from confessions.pipeline.stages.judges import make_judge
from confessions.runtime import provenance
from confessions.runtime.errors import Say
from confessions.runtime.files import published, write_parquet
from confessions.scoring.judge import verdict_columns
from confessions.scoring.known_answers import known_answers
from confessions.tasks import get as get_task


def run(spec: Block, out: Path, say: Say) -> None:
    """Judge the set, publish it with the verdicts and say what passes. A mass below `judge.min_mass` ends nothing
    here: it is part of what is measured."""
    task = get_task(spec["task"])
    task.ready()
    known = known_answers(task)
    llm = spec["judge"]["kind"] == "llm"
    judges = [Path(spec["judge"]["model"]["folder"])] if llm else []
    job = provenance.begin("judge-check", spec, judges)
    judge = make_judge(spec["judge"] | ({"min_mass": 0.0} if llm else {}), task)
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
    with published(out) as temporary:
        write_parquet(judged, temporary)
    job.publish(out.parent, {out: judges}, out.stem)
    passed = judged.groupby("compliant")["judge_pass"].agg(["sum", "size"]).astype(int)
    (bad, n_bad), (good, n_good) = passed.loc[False], passed.loc[True]
    mass = f"; lowest P(Pass or Fail): {judged['judge_mass'].min():.3g}" if llm else ""
    say(f"{judge.name} passes {good} of {n_good} compliant answers and {bad} of {n_bad} with a fault{mass}: {out}")
