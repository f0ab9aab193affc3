# Where a model's weights come from, as a folder that the later stages load. Downloads happen where snakemake runs (the
# login node): compute nodes often have no network.
localrules:
    build_model,


rule build_model:
    output:
        folder=directory(paths.model_folder("{model}")),
    log:
        "results/models/logs/{model}.log",
    benchmark:
        "results/models/benchmarks/{model}.tsv"
    wildcard_constraints:
        model=one_of(key for key in CONFIG.models if key not in POST_TRAINED),
    conda:
        TRAIN
    threads: 1
    resources:
        mem_mb=lambda wildcards: 6_000 if CONFIG.models[wildcards.model].source.kind == "gguf" else 3_000,
        runtime=120,
    params:
        spec=lambda wildcards: specs.model_spec(CONFIG, wildcards.model).as_json(),
    shell:
        "python -m confessions build-model --spec {params.spec:q} --out {output.folder:q} 2>&1 | tee {log:q}"


# One more training stage on top of another model.
rule post_train_model:
    input:
        base=lambda wildcards: paths.model_folder(CONFIG.models[wildcards.model].source.base),
    output:
        folder=directory(paths.model_folder("{model}")),
    log:
        "results/models/logs/{model}.log",
    benchmark:
        "results/models/benchmarks/{model}.tsv"
    wildcard_constraints:
        model=one_of(POST_TRAINED),
    conda:
        TRAIN
    threads: 2
    resources:
        mem_mb=lambda wildcards: resources_for(wildcards.model)["mem_mb"],
        gpu=lambda wildcards: resources_for(wildcards.model)["gpu"],
        runtime=lambda wildcards, attempt: attempt * 720,
    params:
        spec=lambda wildcards: specs.model_spec(CONFIG, wildcards.model).as_json(),
    shell:
        "python -m confessions post-train --spec {params.spec:q} --model {input.base:q} --out {output.folder:q}"
        " 2>&1 | tee {log:q}"


# The embedded model from its recipe, beside the shipped one (`make rebuild-nano` replaces the shipped one).
rule rebuild_nano:
    output:
        folder=directory("results/models/nano-rebuilt-{size}"),
    log:
        "results/models/logs/nano-rebuilt-{size}.log",
    benchmark:
        "results/models/benchmarks/nano-rebuilt-{size}.tsv"
    wildcard_constraints:
        size="xs|s|m",
    conda:
        TRAIN
    threads: 2
    resources:
        mem_mb=3_000,
        runtime=120,
    shell:
        "python -m confessions.nano.recipe --size {wildcards.size} --out {output.folder:q} 2>&1 | tee {log:q}"
