# What a model does some of the time: which levels of the task `instructions` it meets, with answers to keep, and which problems
# its programs solve. Made where an experiment names the file as its `problems`, or asked for by name.
FROZEN = paths.frozen_files("{model}") if EXPERIMENT.calibration.frozen else []
SOLVED = paths.calibration_file("{model}", "programming")


rule calibrate:
    input:
        model=paths.model_folder("{model}"),
    output:
        calibration=paths.calibration_file("{model}"),
        answers="results/calibrations/{model}/answers.parquet",
        frozen=FROZEN,
    log:
        "results/calibrations/logs/{model}.log",
    benchmark:
        "results/calibrations/benchmarks/{model}.tsv"
    conda:
        lambda wildcards: sampling_environment(wildcards.model)
    threads: 2
    resources:
        mem_mb=lambda wildcards: sampling_resources(wildcards.model)["mem_mb"],
        gpu=lambda wildcards: sampling_resources(wildcards.model)["gpu"],
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        spec=lambda wildcards: specs.calibration_spec(CONFIG, wildcards.model).as_json(),
        out=lambda wildcards, output: os.path.dirname(output.calibration),
    shell:
        "python -m confessions calibrate --spec {params.spec:q} --model {input.model:q} --out {params.out:q}"
        " 2>&1 | tee {log:q}"


use rule calibrate as calibrate_programs with:
    output:
        calibration=SOLVED,
        answers=f"{os.path.dirname(SOLVED)}/answers.parquet",
    log:
        "results/calibrations/logs/{model}_programming.log",
    benchmark:
        "results/calibrations/benchmarks/{model}_programming.tsv"
    params:
        spec=lambda wildcards: specs.calibration_spec(CONFIG, wildcards.model, "programming").as_json(),
        out=lambda wildcards, output: os.path.dirname(output.calibration),
