"""What `sweep --launcher` starts besides workers on this machine: clusters, and W&B's agents."""

import shutil
from collections.abc import Sequence

from lightning_collapse.commands.sweep import Asked
from lightning_collapse.sweeps.htcondor import write_submit_file
from lightning_collapse.sweeps.slurm import submit
from lightning_collapse.sweeps.study import PlannedRun, Study
from lightning_collapse.sweeps.wandb_agents import write_sweeps

__all__ = ["htcondor", "slurm", "wandb"]


def slurm(study: Study, runs: Sequence[PlannedRun], asked: Asked) -> int:
    """Submits the runs as one array."""
    _refuse_devices(asked, "`gres` or `gpus-per-task` under `slurm`")
    print(submit(study, runs, asked.at_once))
    return 0


def htcondor(study: Study, runs: Sequence[PlannedRun], asked: Asked) -> int:
    """Writes a submit file, and says what to do with it."""
    _refuse_devices(asked, "`request_gpus` under `htcondor`")
    path = write_submit_file(study, runs, asked.at_once)
    where = "" if shutil.which("condor_submit") else ", where HTCondor is"
    print(f"{len(runs)} runs; if none of them is in the queue: condor_submit {path}{where}")
    return 0


def wandb(study: Study, runs: Sequence[PlannedRun], asked: Asked) -> int:
    """Writes sweeps, and says what to do with them."""
    _refuse_devices(asked, "CUDA_VISIBLE_DEVICES of an agent")
    if asked.at_once is not None:
        raise ValueError(
            f"at_once = {asked.at_once}: as many run as there are agents; leave it out"
        )
    for path in write_sweeps(study):
        print(f"wandb sweep --project {study.plan.name} {path}")
    print("starts each; on every device, `wandb agent SWEEP` then runs what is left")
    return 0


def _refuse_devices(asked: Asked, instead: str) -> None:
    if asked.devices is not None:
        raise ValueError(f"devices = {asked.devices}: is for this machine; set {instead}")
