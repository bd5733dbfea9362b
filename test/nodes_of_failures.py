"""What the nodes of a failed test said last, so that a failure on another machine can be understood from its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

LAST_LINES = 4
# What says how long things took is most of a status, and says little about what went wrong.
WITHOUT = ('timings',)


def show_nodes(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add a section to the report: of each run under the test's folder, the nodes' status and their logs' ends."""
    folder = getattr(item, 'funcargs', {}).get('tmp_path')
    if call.when == 'call' and call.excinfo is not None and folder is not None:
        told = nodes_said(folder)
        if told:
            item.add_report_section('call', 'nodes', told)


def nodes_said(folder: Path) -> str:
    from hybrid_rl_ros.run_folder import read_json

    lines = []
    for status in sorted(folder.glob('**/status/*.json')):
        values = {key: value for key, value in read_json(status).items() if key not in WITHOUT}
        lines.append(f'{status.relative_to(folder)}: {values}')
        log = status.parents[1] / 'logs' / f'{status.stem}.log'
        if log.is_file():
            lines += [f'    {line}' for line in log.read_text(errors='replace').splitlines()[-LAST_LINES:]]
    return '\n'.join(lines)
