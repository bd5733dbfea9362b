"""The facts of a store as one self-contained HTML page, with frames of its cameras."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from hybrid_rl_ros.charts import bar_chart, line_chart
from hybrid_rl_ros.data.inspection import BINS, DimensionFacts, EpisodeFacts, StoreFacts
from hybrid_rl_ros.data.inspection_warnings import warnings_of
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data_text import (
    CAMERA_HEAD,
    DIMENSION_HEAD,
    EPISODE_HEAD,
    camera_rows,
    dimension_row,
    episode_row,
    overview,
)
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.report import STYLE

SHEET_EPISODES = 24  # bounds the page: three frames of each camera for each
FRAME_SIDE_PX = 128
JPEG_QUALITY = 80


def write_page(store: ReplayStore, facts: StoreFacts, path: Path) -> None:
    """Write the page to `path`. Raises UserError if that cannot be written."""
    title = html.escape(str(store.folder))
    sections = [
        ('To look at', _list(warnings_of(facts))),
        ('Overview', _table(('', ''), overview(facts))),
        ('Episodes', _episode_charts(facts.episodes) + _table(EPISODE_HEAD, map(episode_row, facts.episodes))),
        ('Actions', _dimensions(facts.action)),
        ('States', _dimensions(facts.state)),
        ('Cameras', _table(CAMERA_HEAD, camera_rows(facts.cameras))),
        ('Frames', _contact_sheet(store, facts.episodes)),
    ]
    body = ''.join(f'<h2>{name}</h2>\n{content}\n' for name, content in sections)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>'
    )
    try:
        path.write_text(page, encoding='utf-8')
    except OSError as error:
        raise UserError(f'{path}: cannot be written: {error.strerror}') from None


def _list(lines: Sequence[str]) -> str:
    if not lines:
        return '<p>Nothing stands out.</p>'
    return f'<ul>{"".join(f"<li>{html.escape(line)}</li>" for line in lines)}</ul>'


def _episode_charts(episodes: Sequence[EpisodeFacts]) -> str:
    charts = ''
    for title, values in (
        ('steps', [episode.steps for episode in episodes]),
        ('return', [episode.return_ for episode in episodes]),
        ('action divergence', [episode.quality.action_divergence for episode in episodes]),
        ('transition diversity', [episode.quality.transition_diversity for episode in episodes]),
    ):
        points = [(episode.episode, value) for episode, value in zip(episodes, values) if value is not None]
        if points:
            charts += line_chart(title, 'episode', *zip(*points))
    return charts


def _dimensions(dimensions: Sequence[DimensionFacts]) -> str:
    charts = ''
    for dimension in dimensions:
        edges = np.linspace(dimension.low, dimension.high, BINS + 1).tolist()
        if dimension.high > dimension.low:
            percent = [100 * share for share in dimension.histogram]
            charts += bar_chart(f'{dimension.name}, {dimension.unit}: % of steps', edges, percent)
    return _table(DIMENSION_HEAD, map(dimension_row, dimensions)) + charts


def _contact_sheet(store: ReplayStore, episodes: Sequence[EpisodeFacts]) -> str:
    """First, middle and last frame of every camera, for episodes spread evenly over the store."""
    if not store.specs.observation.images:
        return '<p>No cameras in this store.</p>'
    shown = np.unique(np.linspace(0, len(episodes) - 1, min(len(episodes), SHEET_EPISODES)).round().astype(int))
    figures = ''
    for episode in (episodes[index] for index in shown):
        rows = store.episode_rows(episode.episode)
        rows = rows[[0, len(rows) // 2, -1]]
        for camera in episode.cameras:
            frames = ''.join(_image(frame) for frame in store.read_frames(camera, rows))
            caption = f'episode {episode.episode}, {episode.outcome}: {html.escape(camera)}'
            figures += f'<figure>{frames}<figcaption>{caption}</figcaption></figure>'
    return f'<p>First, middle and last frame of {len(shown)} of {len(episodes)} episodes.</p>{figures}'


def _image(frame: np.ndarray) -> str:
    """A frame (H, W, 3) RGB as an embedded JPEG of a fixed width."""
    height, width, _ = frame.shape
    size = (FRAME_SIDE_PX, max(1, round(FRAME_SIDE_PX * height / width)))
    shown = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ''.join('<tr>' + ''.join(f'<td>{html.escape(cell)}</td>' for cell in row) + '</tr>' for row in rows)
    if not lines:
        return '<p>None.</p>'
    heads = ''.join(f'<th>{html.escape(cell)}</th>' for cell in head)
    return f'<table><tr>{heads}</tr>{lines}</table>'
