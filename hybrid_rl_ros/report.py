"""One self-contained HTML page of a run: results, curves, loop timing and a few episodes on video."""

from __future__ import annotations

import base64
import html
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybrid_rl_ros.charts import bar_chart, line_chart
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.replay_store import EpisodeSummary, ReplayStore
from hybrid_rl_ros.run_folder import (
    by_task,
    evaluations,
    exploring,
    read_json,
    read_json_lines,
    require_run,
    success_rate,
)

WINDOW = 20
MOST_ROWS = 50
VIDEO_SIDE_PX = 192
VIDEOS = 3
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
svg { width: 100%; max-width: 44rem; } figure { display: inline-block; margin: 0 1rem 1rem 0; }
"""


def write_report(run: Path) -> Path:
    """Write run/report.html and return its path. Raises UserError if `run` holds no run."""
    require_run(run)
    config = load_config(run / 'config.yaml')
    episodes = read_json_lines(run / 'episodes.jsonl')
    sections = [
        ('Summary', _summary(run)),
        ('What happened', _events(read_json_lines(run / 'events.jsonl'))),
        ('Success and return', _curves(episodes)),
        ('Learning', _learning(read_json_lines(run / 'metrics.jsonl'))),
        ('Loop timing', _timing(run)),
        ('Dropped', _drops(run)),
        ('Evaluation on video', _videos(run / 'eval' / 'replay', config.control_rate_hz)),
        ('Last training episodes on video', _videos(run / 'replay', config.control_rate_hz)),
    ]
    body = ''.join(f'<h2>{title}</h2>\n{content or "<p>Nothing recorded.</p>"}\n' for title, content in sections)
    title = html.escape(f'{config.task}, {config.agent}, seed {config.seed}')
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>'
    )
    path = run / 'report.html'
    path.write_text(page)
    return path


def _summary(run: Path) -> str:
    return _table([[name, _short(value)] for name, value in read_json(run / 'summary.json').items()])


def _curves(episodes: list[dict[str, Any]]) -> str:
    if not episodes:
        return ''
    evaluated = evaluations(episodes)
    episodes = exploring(episodes)
    steps = [episode['env_steps'] for episode in episodes]
    rates = _trailing(episodes)
    returns = [episode['return'] for episode in episodes]
    lengths = [episode['steps'] for episode in episodes]
    helped = [episode.get('interventions', 0) / max(1, episode['steps']) for episode in episodes]
    help_chart = line_chart('share of steps by a person', 'control steps', steps, helped) if any(helped) else ''
    return (
        line_chart(f'success without help, trailing {WINDOW} episodes', 'control steps', steps, rates)
        + (line_chart('success without exploring', 'control steps', *zip(*evaluated)) if evaluated else '')
        + ''.join(_curve_of_task(name, own) for name, own in by_task(episodes).items())
        + help_chart
        + line_chart('return of an episode', 'control steps', steps, returns)
        + line_chart('steps of an episode', 'control steps', steps, lengths)
    )


def _curve_of_task(name: str, episodes: list[dict[str, Any]]) -> str:
    steps = [episode['env_steps'] for episode in episodes]
    return line_chart(f'{name}: success, trailing {WINDOW} episodes', 'control steps', steps, _trailing(episodes))


def _trailing(episodes: list[dict[str, Any]]) -> list[float]:
    return [success_rate(episodes[: end + 1], WINDOW) or 0.0 for end in range(len(episodes))]


def _events(events: list[dict[str, Any]]) -> str:
    """How often each thing happened, and when those did that a person wants to know of."""
    counts = Counter((event['state'], event['cause']) for event in events)
    rows = [[state, cause, str(count)] for (state, cause), count in counts.most_common(MOST_ROWS)]
    worth = [e for e in events if e['state'] == 'aborted' or e['cause'].startswith('needs a person')]
    last = [[e['time'], str(e['episode']), e['state'], e['cause']] for e in worth[-MOST_ROWS:]]
    often = _table([['state', 'cause', 'times'], *rows]) if rows else ''
    return often + (_table([['time', 'episode', 'state', 'cause'], *last]) if last else '')


def _learning(metrics: list[dict[str, Any]]) -> str:
    names = sorted({name for row in metrics for name in row} - {'env_steps', 'updates', 'wall_s'})
    charts = ''
    for name in names:
        rows = [row for row in metrics if name in row]
        charts += line_chart(name, 'updates', [row['updates'] for row in rows], [row[name] for row in rows])
    return charts


def _timing(run: Path) -> str:
    rows, charts = [], ''
    for status in _statuses(run):
        for name, timing in status.get('timings', {}).items():
            title = f'{status["node"]}: {name}'
            figures = [f'{timing[key]:.2f}' for key in ('p50_ms', 'p99_ms', 'max_ms')]
            rows.append([title, str(timing['n']), *figures])
            edges = timing['histogram']['edges_ms']
            charts += bar_chart(f'{title}, ms', edges, timing['histogram']['counts'])
    return (_table([['', 'n', 'p50 ms', 'p99 ms', 'max ms'], *rows]) if rows else '') + charts


def _drops(run: Path) -> str:
    rows = []
    for status in _statuses(run):
        counters = status['counters']
        rows += [[status['node'], name, str(value)] for name, value in counters.items() if 'drop' in name]
    return _table(rows)


def _statuses(run: Path) -> list[dict[str, Any]]:
    return [status for path in sorted((run / 'status').glob('*.json')) if (status := read_json(path))]


def _videos(folder: Path, rate_hz: float) -> str:
    if not (folder / 'specs.json').exists():
        return ''
    with ReplayStore.open(folder, read_only=True) as store:
        if not store.specs.observation.images:
            return '<p>No cameras in this run.</p>'
        figures = []
        for episode in store.episodes()[-VIDEOS:]:
            video = base64.b64encode(_encode(_film(store, episode), rate_hz)).decode()
            caption = f'episode {episode.episode}: {episode.transitions} steps, return {episode.return_:.2f}'
            figures.append(
                f'<figure><video controls loop muted autoplay src="data:video/webm;base64,{video}"></video>'
                f'<figcaption>{caption}</figcaption></figure>'
            )
    return ''.join(figures)


def _film(store: ReplayStore, episode: EpisodeSummary) -> list[np.ndarray]:
    """All cameras side by side, (H, W, 3) RGB a frame."""
    frames = store.frames(store.episode_rows(episode.episode))
    side = (VIDEO_SIDE_PX, VIDEO_SIDE_PX)
    enlarged = [[cv2.resize(f, side, interpolation=cv2.INTER_NEAREST) for f in camera] for camera in frames.values()]
    return [np.concatenate(views, axis=1) for views in zip(*enlarged)]


def _encode(frames: list[np.ndarray], rate_hz: float) -> bytes:
    """WebM (VP8), which OpenCV's wheels encode and every browser plays."""
    height, width, _ = frames[0].shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'episode.webm'
        fourcc = cv2.VideoWriter.fourcc(*'VP80')
        writer = cv2.VideoWriter(str(path), fourcc, rate_hz, (width, height))
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path.read_bytes()


def _table(rows: list[list[str]]) -> str:
    if not rows:
        return ''
    lines = ''.join('<tr>' + ''.join(f'<td>{html.escape(cell)}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table>{lines}</table>'


def _short(value: Any) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
