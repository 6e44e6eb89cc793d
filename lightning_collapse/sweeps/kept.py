"""Records of finished runs, kept where they outlast the runs' folders: in a repository, say.

    docs/results/records/lambda-grid/
      regime=replace-lambda=0.5-seed=0-3dbfe8f4/
        rounds.jsonl, config.yaml      of a run; summary.json of a toy

A run whose last digits, the digest of what its results depend on, are those of a folder that
holds all its rounds is done, wherever its samples are.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.runs.config_file import ConfigFile
from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.study import PlannedRun, Study, has_ended

__all__ = ["Kept"]


@dataclass(frozen=True)
class Kept:
    """The records kept of a study.

    Attributes:
        folder: a folder a run.
    """

    folder: Path

    def marked(self, study: Study) -> Study:
        """Gives the study in which the runs that are kept whole are done.

        Raises:
            ValueError: records or a configuration are not as they were kept.
        """
        runs = [
            replace(run, is_kept=folder is not None and _is_whole(run, folder))
            for run, folder in self._folders(study)
        ]
        return replace(study, runs=runs)

    def read_from(self, study: Study) -> Study:
        """Gives the study whose runs are, where they are not here, what is kept of them."""
        runs = [
            replace(run, folder=folder) if folder and not Run(run.folder).table.is_file() else run
            for run, folder in self._folders(study)
        ]
        return replace(study, runs=runs)

    def keep(self, run: PlannedRun) -> None:
        """Copies the records of a run that is done here, unless those of more rounds are kept.

        Raises:
            OSError: they cannot be written.
        """
        if not run.is_done_here:
            return
        if (kept := self._kept_rounds(run)) > (here := Run(run.folder).rounds):
            print(f"{run.name}: {kept} rounds are kept, and stay; here are {here}", flush=True)
            return
        if not run.is_toy:
            _keep_config(Run(run.folder).config, Run(self.folder / run.name).config, run.name)
        # Last: it tells that all is there.
        source = run.summary if run.is_toy else Run(run.folder).table
        target, content = self.folder / run.name / source.name, source.read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            make_folder(target.parent)
            write_atomically(target, lambda file: file.write(content))

    def _folders(self, study: Study) -> list[tuple[PlannedRun, Path | None]]:
        """Each run, and the folder where it is kept."""
        # By digest: a cell may have been given another label since.
        there = {path.name[-8:]: path for path in sorted(self.folder.glob("*-????????"))}
        return [(run, there.get(run.name[-8:])) for run in study.runs]

    def _kept_rounds(self, run: PlannedRun) -> int:
        """How many rounds are kept of a run; 0 for those that cannot be read, and for toys."""
        with suppress(ValueError, OSError):
            return 0 if run.is_toy else len(Run(self.folder / run.name).records)
        return 0


def _keep_config(source: ConfigFile, target: ConfigFile, name: str) -> None:
    """Copies a configuration, less where on this machine the run was."""
    config = source.read()
    kept = {**config, "run": name, "data": {**(config.get("data") or {}), "run": name}}
    kept.pop("share", None)
    if not target.path.exists() or target.read() != kept:
        make_folder(target.path.parent)
        target.restore(source.path.read_text())
        target.write(kept)


def _is_whole(run: PlannedRun, folder: Path) -> bool:
    kept = Run(folder)
    if run.is_toy:
        return (folder / run.summary.name).is_file()
    if not kept.table.is_file():
        return False
    try:
        kept.config.read()
        return has_ended(kept, len(kept.records), run.rounds)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"records = {folder}: are not as they were kept ({error}); restore them, or remove "
            "the folder to have the run made again"
        ) from error
