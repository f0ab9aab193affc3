# Tables of the experiment, and the figures, which read nothing but the tables: those of the catalogue
# (confessions.analysis.catalogue) that this experiment has. Every one is a page of the report.
TABLES, FIGURES = catalogue.of(CONFIG)
SWEPT_TABLES, SWEPT_FIGURES = catalogue.of(CONFIG, "seeding")


def of_models(keys):
    """Files of models by key, and what else a table is told about them."""
    return {key: paths.model_score_file(CONFIG, key) for key in keys}, {"model_labels": model_labels(keys)}


def read_by_table(source):
    """Of one of the catalogue's sources: the arguments that are files, by what each is of where that matters; other
    arguments; labels; training seeds."""
    checkpoints = {(seed, step): SCORES.format(seed=seed, step=step) for seed, step in product(SEEDS, STEPS)}
    if source in ("grid", "wordings") and not TRAINS:
        scores, given = of_models(CONFIG.compared)
        return {"scores": scores}, given, axis_labels(scores), []
    if source in ("checkpoints", "grid", "wordings"):
        return {"scores": checkpoints}, {}, RUN_LABELS, SEEDS
    if source == "metrics":
        metrics = {seed: METRICS.format(seed=seed) for seed in SEEDS}
        return {"metrics": metrics}, {"steps": EXPERIMENT.train.steps}, RUN_LABELS, SEEDS
    if source == "survey":
        detectors = {file: outside.digest(file) for file in EXPERIMENT.survey.detectors}
        labels = RUN_LABELS | {"task": EXPERIMENT.survey.task}
        return {"rollouts": SURVEYS}, {"detectors": detectors}, labels, SEEDS
    if source == "judge_check":
        labels = axis_labels(CONFIG.judges) | {"model": CONFIG.models[CONFIG.judges[0]].label}
        return {"answers": CHECK[0]}, {}, labels, []
    if source == "sweep":
        scores = dict(zip(product(VIEWS, SEEDED), expand(SEEDED_SCORES, model=SEEDED), strict=True))
        points = {key: specs.seeding_point(CONFIG, key) for key in SEEDED}
        return {"scores": scores}, {"points": points}, axis_labels(SEEDED), []
    if source == "probes":
        policy = {
            (probe, seed, step): paths.score_file(CONFIG, seed, step, probe)
            for probe, seed, step in product(PROBES, SEEDS, STEPS)
        }
        models = {
            (probe, key): paths.model_score_file(CONFIG, key, probe) for probe, key in product(PROBES, CONFIG.compared)
        }
        labels = RUN_LABELS if TRAINS else axis_labels(CONFIG.compared)
        return {"policy": policy, "models": models}, {"model_labels": model_labels(CONFIG.compared)}, labels, SEEDS
    if source == "scores":
        models, given = of_models(CONFIG.compared)
        labels = RUN_LABELS if TRAINS else axis_labels(CONFIG.compared)
        return {"policy": checkpoints, "models": models}, given, labels, SEEDS
    scores, given = of_models(getattr(EXPERIMENT, source))  # an axis
    return {"scores": scores}, given, axis_labels(scores), []


# A rule a table, since the report wants to know each caption when the rules are read.
for name, table in (TABLES | SWEPT_TABLES).items():
    files, given, labels, seeds = read_by_table(table.source)

    rule:
        name:
            f"tabulate_{name}"
        input:
            **{argument: [*of.values()] if isinstance(of, dict) else of for argument, of in files.items()},
        output:
            table=page(f"{RESULTS}/tables/{name}.csv", "table", name, "Tables as CSV"),
        log:
            f"{RESULTS}/tables/logs/{name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/tabulate_{name}.tsv"
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            table=name,
            subjects={argument: [*of] for argument, of in files.items() if isinstance(of, dict)},
            given=given,
            labels=labels,
            seeds=seeds,
        script:
            "../scripts/tabulate.py"


for name, figure in (FIGURES | SWEPT_FIGURES).items():

    rule:
        name:
            f"plot_{name}"
        input:
            table=f"{RESULTS}/tables/{figure.source}.csv",
        output:
            figure=page(f"{RESULTS}/figures/{name}.png", "figure", name, "Figures"),
        log:
            f"{RESULTS}/figures/logs/{name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/plot_{name}.tsv"
        localrule: True
        conda:
            PLOTS
        threads: 1
        params:
            figure=name,
            experiment=CONFIG.experiment,
        script:
            "../scripts/plot.py"
