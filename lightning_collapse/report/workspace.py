"""The workspace of W&B that shows runs by regime and share, each figure of a round in a panel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_collapse.report.comparison import Comparison
from lightning_collapse.report.curves import panels

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

__all__ = ["workspace_of"]

_SECTIONS = {"curves": "Collapse", "structure": "Structure"}
_GROUPED_BY = ("data.regime.class_path", "data.regime.init_args.synthetic_fraction")


def workspace_of(
    comparisons: Sequence[Comparison], entity: str, project: str, name: str
) -> "Workspace":
    """Lays out a workspace, offline: a section of curves and one of structure, over rounds.

    Args:
        comparisons: of the runs; a figure that none of them has gets no panel.
        entity: of W&B, a user or a team.
        project: in which the runs are.
        name: of the workspace.

    Raises:
        ImportError: wandb-workspaces is not installed.
    """
    from wandb_workspaces import expr, workspaces
    from wandb_workspaces.reports.v2.interface import LinePlot

    sections = []
    for key, title in _SECTIONS.items():
        told = {panel.figure: panel.label for one in comparisons for panel in panels(one, key)}
        drawn: list[Any] = [
            LinePlot(title=label, x="round", y=[f"round/{figure}"])
            for figure, label in told.items()
        ]
        sections.append(workspaces.Section(name=title, is_open=True, panels=drawn))
    grouped = workspaces.RunsetSettings(groupby=[expr.Config(key) for key in _GROUPED_BY])
    return workspaces.Workspace(
        entity=entity, project=project, name=name, sections=sections, runset_settings=grouped
    )
