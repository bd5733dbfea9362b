"""One machine's part of a run, `one_side.py RUN CONFIG PART key=value ...`, until it is told to stop or it is done."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from hybrid_rl_ros.bringup import Bringup, nodes_of_part, nodes_of_run, prepare_run, resolve_specs, running
from hybrid_rl_ros.config import load_config


def main() -> None:
    run, config_path, part, *settings = sys.argv[1:]
    config = load_config(config_path, settings)
    prepare_run(Path(run), config, resolve_specs(config))
    nodes = nodes_of_run(config, 'train')
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with running(Bringup(config, Path(run), 'train', nodes_of_part(nodes, part), nodes)) as bringup:
        while not bringup.check() and not stop.wait(0.1):
            pass


if __name__ == '__main__':
    main()
