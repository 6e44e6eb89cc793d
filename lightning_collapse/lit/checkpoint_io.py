"""Checkpoints that a crash leaves whole, that show any damage, and that load as tensors only.

Lightning's own writer goes through $TMPDIR without fsync: across file systems a kill or a full
disk can destroy the previous checkpoint.
"""

from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io import TorchCheckpointIO

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.runs.checkpoints import read_checkpoint, write_checkpoint

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file in the same folder, then renames it into place."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        make_folder(path.parent)
        write_atomically(path, lambda file: write_checkpoint(checkpoint, file))

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            return read_checkpoint(Path(path))
        except ValueError as error:
            raise ValueError(f"ckpt_path = {error}") from error
