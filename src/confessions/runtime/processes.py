"""Several processes that do one job together on the GPUs of a machine: which is the first, how they are started."""

import logging
import os
from collections.abc import Sequence

from confessions.runtime.errors import InputError


def is_first() -> bool:
    """Whether this process is the first of its job's, or the only one: the one that writes files."""
    return os.environ.get("RANK", "0") == "0"


def started_together() -> bool:
    """Whether a launcher has started this process, as one of several."""
    return "RANK" in os.environ


def launch(n: int, words: Sequence[str]) -> None:
    """Run `confessions WORDS` in n processes that find each other on a free port, by accelerate, and wait for them.

    A process that InputError ends leaves its line to us (errors.reported) and prints nothing. The line of the first is
    raised here: it is said once, and without the launcher's own traceback. Raises InputError too where there are GPUs,
    but fewer than n, and torch's ChildFailedError where a process crashed or was killed.
    """
    import torch
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if 0 < (here := torch.cuda.device_count()) < n:
        raise InputError(f"{n} processes, and {here} GPUs here: each wants its own; ask for more, or lower processes")
    options = ["--multi_gpu", "--num_processes", str(n), "--num_machines", "1", "--main_process_port", "0"]
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "--module", "confessions"]
    logging.disable(logging.ERROR)  # of the launcher alone, which would tell each process's end in several lines
    try:
        launch_command(launch_command_parser().parse_args([*options, *words]))
    except ChildFailedError as error:
        left = [failure for failure in error.failures.values() if os.path.isfile(failure.error_file)]
        if not left:
            raise
        raise InputError(min(left, key=lambda failure: failure.timestamp).message) from None
    finally:
        logging.disable(logging.NOTSET)
