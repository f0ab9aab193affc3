# Tables of the experiment, and the figures, which read nothing but the tables.
RUN_LABELS = {
    "experiment": CONFIG.experiment,
    "task": CONFIG.active.task,
    "model": CONFIG.policy.label,
    "source": CONFIG.policy.source.kind,
}


rule tabulate_reproduction:
    input:
        scores=expand(SCORES, seed=SEEDS, step=STEPS),
    output:
        table="results/tables/reproduction.csv",
    log:
        "results/tables/logs/reproduction.log",
    threads: 1
    params:
        labels=RUN_LABELS,
        seeds=SEEDS,
        steps=STEPS,
    script:
        "../scripts/tabulate_reproduction.py"


rule tabulate_training:
    input:
        metrics=expand(METRICS, seed=SEEDS),
    output:
        table="results/tables/training.csv",
    log:
        "results/tables/logs/training.log",
    threads: 1
    params:
        labels=RUN_LABELS,
        seeds=SEEDS,
        steps=CONFIG.active.train.steps,
    script:
        "../scripts/tabulate_training.py"


rule plot_reproduction:
    input:
        table=rules.tabulate_reproduction.output.table,
    output:
        figure="results/figures/reproduction.png",
    log:
        "results/figures/logs/reproduction.log",
    threads: 1
    script:
        "../scripts/plot_reproduction.py"


rule plot_training_echo:
    input:
        table=rules.tabulate_training.output.table,
    output:
        figure="results/figures/training_echo.png",
    log:
        "results/figures/logs/training_echo.log",
    threads: 1
    script:
        "../scripts/plot_training_echo.py"
