"""A contact sheet: frames side by side in one PNG, each with a line or two below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.rewards.classifier import SuccessClassifier
from hybrid_rl_ros.rewards.classifier_measures import Scores, worst_mistakes

MOST_TILES = 24
FRAME_HEIGHT_PX = 128
LEAST_TILE_WIDTH_PX = 230  # for a caption
SHEET_WIDTH_PX = 1100
LINE_PX = 18
GAP_PX = 8
WHITE, GREY, RED = (255, 255, 255), (170, 170, 170), (255, 90, 80)


@dataclass(frozen=True)
class Tile:
    """Frames (H, W, 3) RGB of one moment, and what is written below them, in `colour`."""

    frames: list[np.ndarray]
    lines: list[str]
    colour: tuple[int, int, int] = WHITE


def write_mistakes(scores: Scores, classifier: SuccessClassifier, store: ReplayStore, path: Path) -> None:
    """The worst mistakes of the held-out frames; without any, the least certain frames. Raises UserError."""
    worst, mistaken = worst_mistakes(scores, classifier.threshold, MOST_TILES)
    tiles = [_tile(scores, int(index), classifier, store, RED if mistaken else WHITE) for index in worst]
    what = 'the worst mistakes' if mistaken else 'no mistakes; the least certain'
    write_sheet(f'held-out frames: {what}; threshold {classifier.threshold:.4f}', tiles, path)


def write_sheet(title: str, tiles: Sequence[Tile], path: Path) -> None:
    """Raises UserError if it cannot be written."""
    drawn = [_drawn(tile) for tile in tiles]
    height = max((tile.shape[0] for tile in drawn), default=0)
    width = max((tile.shape[1] for tile in drawn), default=0)
    columns = max(1, SHEET_WIDTH_PX // (width + GAP_PX))
    rows = -(-len(drawn) // columns)
    sheet_width = max(SHEET_WIDTH_PX, columns * (width + GAP_PX) + GAP_PX)
    sheet = np.zeros((LINE_PX + 2 * GAP_PX + rows * (height + GAP_PX), sheet_width, 3), np.uint8)
    _write(sheet, title, GAP_PX, GAP_PX, WHITE)
    for index, tile in enumerate(drawn):
        top = LINE_PX + 2 * GAP_PX + index // columns * (height + GAP_PX)
        left = GAP_PX + index % columns * (width + GAP_PX)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    _, data = cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UserError(f'{path}: cannot be written: {error.strerror}') from None


def _tile(
    scores: Scores, index: int, classifier: SuccessClassifier, store: ReplayStore, colour: tuple[int, int, int]
) -> Tile:
    row, episode = int(scores.frames.rows[index]), int(scores.frames.episodes[index])
    step = int(np.flatnonzero(store.episode_rows(episode) == row)[0])
    label = 'success' if scores.frames.success[index] else 'no success'
    gate = '' if scores.inside_gate[index] else ', outside gate'
    frames = [store.read_frames(image.camera, np.array([row]))[0] for image in classifier.images]
    said = f'p {scores.probability[index]:.4f}{gate}'
    return Tile(frames, [f'{label}: {said}', f'episode {episode}, step {step}, row {row}'], colour)


def _drawn(tile: Tile) -> np.ndarray:
    """(H, W, 3) RGB."""
    frames = np.concatenate([_resized(frame) for frame in tile.frames], axis=1)
    width = max(frames.shape[1], LEAST_TILE_WIDTH_PX)
    drawn = np.zeros((FRAME_HEIGHT_PX + LINE_PX * len(tile.lines), width, 3), np.uint8)
    drawn[:FRAME_HEIGHT_PX, : frames.shape[1]] = frames
    for number, line in enumerate(tile.lines):
        _write(drawn, line, 0, FRAME_HEIGHT_PX + number * LINE_PX, tile.colour if number == 0 else GREY)
    return drawn


def _resized(frame: np.ndarray) -> np.ndarray:
    height, width, _ = frame.shape
    size = (max(1, round(width * FRAME_HEIGHT_PX / height)), FRAME_HEIGHT_PX)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if height > FRAME_HEIGHT_PX else cv2.INTER_NEAREST)


def _write(picture: np.ndarray, text: str, left: int, top: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, (left, top + LINE_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
