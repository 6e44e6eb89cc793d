"""`lightning-collapse export`: a store's images as PNG files, or as EDM's dataset zip."""

from pathlib import Path

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.foreign.exports import export_folder, export_zip
from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.data.store.shards import open_rows

__all__ = ["export", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("export", export, arguments, reads=["store"])


def export(store: Path, out: Path) -> None:
    """Writes the images of a store: prepared ones, a run's pool/real, or a round's samples.

    Args:
        store: folder with a manifest.json.
        out: what to make: EDM's dataset zip if it ends in .zip, else a folder of the same files.
    """
    if not is_committed(store):
        raise ValueError(f"store = {store}: holds no store, for want of a manifest.json")
    if out.exists():
        raise ValueError(f"out = {out}: is there already; choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        stored = open_rows(store)
        (export_zip if out.suffix.lower() == ".zip" else export_folder)(stored, out)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"store = {error}") from error
    print(f"{len(stored)} images: {out}")
