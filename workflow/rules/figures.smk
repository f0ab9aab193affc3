# Tables of the experiment, and the figures, which read nothing but the tables. Every one is a page of the report.
CHECKPOINTS = list(product(SEEDS, STEPS))
AXES = [axis for axis in ("scale", "ladder") if getattr(EXPERIMENT, axis)]
TABLES = ["reproduction", "stress_grid", "power", "training", "hack_survey", "verification", *AXES]
FIGURES = {"reproduction": "reproduction", "stress_grid": "stress_grid", "training_echo": "training"}  # figure: table
FIGURES |= {axis: axis for axis in AXES}
TABLE = "results/tables/{table}.csv"


rule tabulate_checkpoints:
    input:
        scores=expand(SCORES, seed=SEEDS, step=STEPS),
    output:
        table=page(TABLE, "table"),
    log:
        "results/tables/logs/{table}.log",
    wildcard_constraints:
        table="reproduction|stress_grid|power",
    threads: 1
    params:
        checkpoints=CHECKPOINTS,
        labels=RUN_LABELS,
    script:
        "../scripts/tabulate_checkpoints.py"


rule tabulate_models:
    input:
        scores=lambda wildcards: expand(MODEL_SCORES, model=getattr(EXPERIMENT, wildcards.table)),
    output:
        table=page(TABLE, "table"),
    log:
        "results/tables/logs/{table}.log",
    wildcard_constraints:
        table=one_of(AXES),
    threads: 1
    params:
        models=lambda wildcards: model_labels(getattr(EXPERIMENT, wildcards.table)),
        labels=lambda wildcards: axis_labels(getattr(EXPERIMENT, wildcards.table)),
    script:
        "../scripts/tabulate_models.py"


rule tabulate_verification:
    input:
        checkpoints=expand(SCORES, seed=SEEDS, step=STEPS),
        models=expand(MODEL_SCORES, model=CONFIG.compared),
    output:
        table=page("results/tables/verification.csv", "table", "verification"),
    log:
        "results/tables/logs/verification.log",
    threads: 1
    params:
        checkpoints=CHECKPOINTS,
        models=model_labels(CONFIG.compared),
        labels=RUN_LABELS,
    script:
        "../scripts/tabulate_verification.py"


rule tabulate_survey:
    input:
        rollouts=SURVEY,
    output:
        table=page("results/tables/hack_survey.csv", "table", "hack_survey"),
    log:
        "results/tables/logs/hack_survey.log",
    threads: 1
    params:
        labels=RUN_LABELS | {"task": EXPERIMENT.survey.task},
    script:
        "../scripts/tabulate_survey.py"


rule tabulate_training:
    input:
        metrics=expand(METRICS, seed=SEEDS),
    output:
        table=page("results/tables/training.csv", "table", "training"),
    log:
        "results/tables/logs/training.log",
    threads: 1
    params:
        labels=RUN_LABELS,
        seeds=SEEDS,
        steps=EXPERIMENT.train.steps,
    script:
        "../scripts/tabulate_training.py"


rule plot:
    input:
        table=lambda wildcards: TABLE.format(table=FIGURES[wildcards.figure]),
    output:
        figure=page("results/figures/{figure}.png", "figure"),
    log:
        "results/figures/logs/{figure}.log",
    wildcard_constraints:
        figure=one_of(FIGURES),
    threads: 1
    script:
        "../scripts/plot.py"
