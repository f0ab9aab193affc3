# Tables of the experiment, and the figures, which read nothing but the tables. Every one is a page of the report.
CHECKPOINTS = list(product(SEEDS, STEPS))
AXES = [axis for axis in ("scale", "ladder") if getattr(EXPERIMENT, axis)]
TABLES, FIGURES = ["verification", *AXES], {axis: axis for axis in AXES}  # figure: table
if TRAINS:
    TABLES += ["reproduction", "stress_grid", "power", "judge", "training", "onset"]
    FIGURES |= {"reproduction": "reproduction", "stress_grid": "stress_grid"}
    FIGURES |= {"training_echo": "training", "hack_emergence": "training"}
if CHECK:
    TABLES += ["judge_check"]
if EXPERIMENT.survey:
    TABLES += ["hack_survey"]
TABLE = "results/tables/{table}.csv"


# A rule a table, since the report wants to know each caption when the rules are read.
for table in ("reproduction", "stress_grid", "power", "judge"):

    rule:
        name:
            f"tabulate_{table}"
        input:
            scores=expand(SCORES, seed=SEEDS, step=STEPS),
        output:
            table=page(TABLE.format(table=table), "table", table),
        log:
            f"results/tables/logs/{table}.log",
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            table=table,
            checkpoints=CHECKPOINTS,
            labels=RUN_LABELS,
        script:
            "../scripts/tabulate_checkpoints.py"


for axis in AXES:

    rule:
        name:
            f"tabulate_{axis}"
        input:
            scores=expand(MODEL_SCORES, model=getattr(EXPERIMENT, axis)),
        output:
            table=page(TABLE.format(table=axis), "table", axis),
        log:
            f"results/tables/logs/{axis}.log",
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            models=model_labels(getattr(EXPERIMENT, axis)),
            labels=axis_labels(getattr(EXPERIMENT, axis)),
        script:
            "../scripts/tabulate_models.py"


rule tabulate_verification:
    input:
        checkpoints=expand(SCORES, seed=SEEDS, step=STEPS),
        models=expand(MODEL_SCORES, model=CONFIG.compared),
    output:
        table=page(TABLE.format(table="verification"), "table", "verification"),
    log:
        "results/tables/logs/verification.log",
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        checkpoints=CHECKPOINTS,
        models=model_labels(CONFIG.compared),
        labels=RUN_LABELS if TRAINS else axis_labels(CONFIG.compared),
    script:
        "../scripts/tabulate_verification.py"


rule tabulate_survey:
    input:
        rollouts=SURVEYS,
    output:
        table=page(TABLE.format(table="hack_survey"), "table", "hack_survey"),
    log:
        "results/tables/logs/hack_survey.log",
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        labels=lambda wildcards: RUN_LABELS | {"task": EXPERIMENT.survey.task},
        detectors=lambda wildcards: {file: outside.digest(file) for file in EXPERIMENT.survey.detectors},
    script:
        "../scripts/tabulate_survey.py"


rule tabulate_judge_check:
    input:
        answers=paths.judge_check_file(CONFIG),
    output:
        table=page(TABLE.format(table="judge_check"), "table", "judge_check"),
    log:
        "results/tables/logs/judge_check.log",
    localrule: True
    conda:
        PLOTS
    threads: 1
    params:
        labels=lambda wildcards: axis_labels(CONFIG.judges) | {"model": CONFIG.models[CONFIG.judges[0]].label},
    script:
        "../scripts/tabulate_judge_check.py"


for table in ("training", "onset"):

    rule:
        name:
            f"tabulate_{table}"
        input:
            metrics=expand(METRICS, seed=SEEDS),
        output:
            table=page(TABLE.format(table=table), "table", table),
        log:
            f"results/tables/logs/{table}.log",
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            table=table,
            labels=RUN_LABELS,
            seeds=SEEDS,
            steps=lambda wildcards: EXPERIMENT.train.steps,
        script:
            "../scripts/tabulate_training.py"


for figure, table in FIGURES.items():

    rule:
        name:
            f"plot_{figure}"
        input:
            table=TABLE.format(table=table),
        output:
            figure=page(f"results/figures/{figure}.png", "figure", figure),
        log:
            f"results/figures/logs/{figure}.log",
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            figure=figure,
            experiment=CONFIG.experiment,
        script:
            "../scripts/plot.py"
