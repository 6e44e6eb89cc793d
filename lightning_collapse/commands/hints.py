"""What a word on a command line was meant to be: near names, full keys, names of other tools."""

import difflib
from collections.abc import Collection, Iterable

__all__ = ["meant", "near", "suggested_key"]

# Of Lightning before 2.0, of NVIDIA's scripts, and of papers: ours, of which a command has one.
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "accumulate": ("trainer.accumulate_grad_batches",),
    "amp_backend": ("trainer.precision",),
    "amp_level": ("trainer.precision",),
    "arch": ("model.network",),
    "augment": ("model.augment.p",),
    "auto_lr_find": ("model.optimizer.lr",),
    "auto_scale_batch_size": ("data.batch_size",),
    "auto_select_gpus": ("trainer.devices",),
    "batch": ("data.batch_size",),
    "batch_gpu": ("trainer.accumulate_grad_batches",),
    "cbase": ("model.network.model_channels",),
    "checkpoint": ("ckpt_path", "ckpt"),
    "checkpoint_callback": ("trainer.enable_checkpointing",),
    "class": ("label", "model.network.label_dim"),
    "class_idx": ("label",),
    "cond": ("model.network.label_dim",),
    "cres": ("model.network.channel_mult",),
    "data": ("data.source.path",),
    "dataset": ("data.source",),
    "dest": ("out",),
    "detector": ("inception",),
    "disc": ("schedule",),
    "discretization": ("schedule",),
    "distributed_backend": ("trainer.strategy",),
    "dump": ("loop.checkpoint_every",),
    "duration": ("data.images_per_round",),
    "ema": ("model.ema_halflife",),
    "epochs": ("trainer.max_epochs", "rounds"),
    "fp16": ("trainer.precision",),
    "generations": ("trainer.max_epochs", "rounds"),
    "gpus": ("trainer.devices", "device"),
    "images": ("samples",),
    "ipus": ("trainer.devices",),
    "iterations": ("data.images_per_round", "rounds"),
    "lambda": ("data.regime.synthetic_fraction", "lambdas"),
    "log_gpu_memory": ("trainer.callbacks",),
    "lr_scheduler": ("model.lr_rampup",),
    "max_images": ("n",),
    "metrics": ("loop.measures", "measures"),
    "name": ("run",),
    "network": ("ckpt", "model.network"),
    "network_pkl": ("ckpt", "model.init_from"),
    "num": ("n",),
    "num_expected": ("n",),
    "num_processes": ("trainer.devices",),
    "num_train_timesteps": ("loop.sampling.num_steps",),
    "outdir": ("out", "run"),
    "output": ("out", "run"),
    "progress_bar_refresh_rate": ("trainer.enable_progress_bar",),
    "real_fraction": ("data.regime.synthetic_fraction", "lambdas"),
    "ref": ("reference",),
    "refs": ("reference",),
    "resume": ("ckpt_path",),
    "resume_from_checkpoint": ("ckpt_path",),
    "root_dir": ("run",),
    "rounds": ("trainer.max_epochs",),
    "sampler": ("loop.sampling.solver", "solver"),
    "seed": ("seed_everything",),
    "snap": ("loop.checkpoint_every",),
    "steps": ("loop.sampling.num_steps",),
    "terminate_on_nan": ("model.max_skipped_steps",),
    "tpu_cores": ("trainer.devices",),
    "track_grad_norm": ("trainer.gradient_clip_val",),
    "transfer": ("model.init_from",),
    "weights_save_path": ("run",),
    "weights_summary": ("trainer.enable_model_summary",),
    "workers": ("data.num_workers",),
}


def suggested_key(wrong: str, keys: Iterable[str]) -> str:
    """Names the key that an unknown one may be meant for, in full, or nothing.

    Args:
        wrong: the key, as it was written.
        keys: all that there are, in full, such as `data.regime.ratio`.
    """
    known = sorted(set(keys), key=lambda key: (key.count("."), key))
    # What is wrong here may be known elsewhere: an option of another class.
    if wrong in known:
        return ""
    leaf = wrong.rpartition(".")[2].replace("-", "_")
    named = [key for key in known if key.rpartition(".")[2] == leaf]
    if elsewhere := [key for key in _ELSEWHERE.get(leaf, ()) if key in known]:
        return elsewhere[0]
    if named:
        return named[0]
    if close := near(wrong, known):
        return close
    leaves: dict[str, str] = {}
    for key in known:
        leaves.setdefault(key.rpartition(".")[2], key)
    # Many leaves are short: what is somewhat alike is mostly something else.
    return leaves.get(near(leaf, leaves, 0.75), "")


def meant(wrong: str, known: Collection[str]) -> str:
    """Gives the end of a message: the known word that a wrong one may be meant for, if any."""
    close = near(wrong, known)
    return f"; did you mean {close}?" if close and wrong not in known else ""


def near(wrong: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """Gives the known word that is nearest to a wrong one, at least alike by `cutoff`, if any."""
    return "".join(difflib.get_close_matches(wrong, known, n=1, cutoff=cutoff))
