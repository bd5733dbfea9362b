"""What a LeRobotDataset v3.0 says of itself: meta/info.json, the features, and where each episode lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hybrid_rl_ros.data.exchange.columns import require_known
from hybrid_rl_ros.data.exchange.files import reading
from hybrid_rl_ros.data.exchange.lerobot_layout import INFO, SPECS, VERSION, FileNumber
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError

_NUMBERS = ('float16', 'float32', 'float64', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'bool')


@dataclass(frozen=True)
class EpisodePlace:
    """Rows `first` to `first + length` of the whole dataset; `video_starts` is when each camera's file shows it, s."""

    number: int
    first: int
    length: int
    data: FileNumber
    videos: dict[str, FileNumber]
    video_starts: dict[str, float]


@dataclass
class Info:
    """meta/info.json; `features` as LeRobot has them: name -> dtype, shape, names."""

    path: Path
    fps: float
    features: dict[str, dict[str, Any]]
    data_path: str
    video_path: str | None

    @property
    def state_keys(self) -> list[str]:
        """Every vector that is observed, `observation.state` first."""
        keys = [key for key in self.features if key.startswith('observation.') and self._is_vector(key)]
        return sorted(keys, key=lambda key: key != 'observation.state')

    @property
    def cameras(self) -> dict[str, tuple[int, int]]:
        """Key -> (height, width); channels may be named first or last."""
        found = {}
        for key, feature in self.features.items():
            if feature['dtype'] in ('video', 'image') and not _is_depth(feature):
                shape = feature['shape']
                found[key] = (shape[1], shape[2]) if shape[0] == 3 and shape[2] != 3 else (shape[0], shape[1])
        return found

    @property
    def action_names(self) -> list[str]:
        return _element_names('action', self.features['action'])

    def state_names(self, quaternions: Mapping[str, str]) -> list[str]:
        """A name for each number; those of a declared quaternion end in its letters. Raises UserError."""
        names = []
        require_known(quaternions, self.state_keys, f'{self.path / INFO}: quaternion')
        for key in self.state_keys:
            short = key.removeprefix('observation.')
            if key in quaternions and self.width(key) != 4:
                raise UserError(f'{self.path / INFO}: {key!r} has {self.width(key)} numbers, a quaternion has 4')
            if key in quaternions:
                names += [f'{short}_{letter}' for letter in quaternions[key]]
            else:
                names += _element_names(short, self.features[key])
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise UserError(f'{self.path / INFO}: two observed numbers are called {doubled!r}')
        return names

    def width(self, key: str) -> int:
        return int(self.features[key]['shape'][0])

    def data_file(self, place: EpisodePlace) -> Path:
        return place.data.path(self.path, self.data_path)

    def video_file(self, place: EpisodePlace, key: str) -> Path:
        assert self.video_path is not None
        return place.videos[key].path(self.path, self.video_path, key)

    def _is_vector(self, key: str) -> bool:
        return self.features[key]['dtype'] in _NUMBERS and len(self.features[key]['shape']) == 1


def read_info(path: Path) -> Info:
    """Raises UserError."""
    file = path / INFO
    if not file.exists():
        raise UserError(f'{path}: has no {INFO}; expected the folder of a LeRobotDataset {VERSION}')
    with reading(file):
        content = json.loads(file.read_text())
    version = content.get('codebase_version') if isinstance(content, dict) else None
    if version != VERSION:
        mend = (
            '; convert it with python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id=NAME'
            if version == 'v2.1'
            else ''
        )
        raise UserError(f'{file}: codebase_version is {version!r}, expected {VERSION!r}{mend}')
    try:
        info = Info(path, float(content['fps']), content['features'], content['data_path'], content.get('video_path'))
        _require_features(info, file)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f'{file}: not as LeRobotDataset {VERSION} has it: {type(error).__name__} at {error}') from None
    return info


def read_specs(info: Info) -> Specs | None:
    """Those of the store that the dataset was exported from, unless it was changed since."""
    file = info.path / SPECS
    if not file.exists():
        return None
    with reading(file):
        specs = Specs.model_validate(json.loads(file.read_text())['specs'])
    same = specs.observation.state.names == info.state_names({}) and specs.action.names == info.action_names
    return specs if same else None


def episode_places(info: Info) -> list[EpisodePlace]:
    """Every episode in order. Raises UserError."""
    files = sorted((info.path / 'meta/episodes').glob('chunk-*/file-*.parquet'))
    if not files:
        raise UserError(f'{info.path}: has no meta/episodes/chunk-*/file-*.parquet')
    videos = [key for key in info.cameras if info.features[key]['dtype'] == 'video']
    columns = ['episode_index', 'length', 'dataset_from_index', 'data/chunk_index', 'data/file_index']
    columns += [f'videos/{key}/{name}' for key in videos for name in ('chunk_index', 'file_index', 'from_timestamp')]
    places = []
    for file in files:
        with reading(file):
            missing = [column for column in columns if column not in pq.read_schema(file).names]
            if missing:
                raise UserError(f'{file}: has no column {missing[0]!r}')
            rows = pq.read_table(file, columns=columns).to_pylist()
        places += [_place(row, videos) for row in rows]
    return sorted(places, key=lambda place: place.number)


def _place(row: dict[str, Any], videos: list[str]) -> EpisodePlace:
    return EpisodePlace(
        number=row['episode_index'],
        first=row['dataset_from_index'],
        length=row['length'],
        data=FileNumber(row['data/chunk_index'], row['data/file_index']),
        videos={key: FileNumber(row[f'videos/{key}/chunk_index'], row[f'videos/{key}/file_index']) for key in videos},
        video_starts={key: float(row[f'videos/{key}/from_timestamp']) for key in videos},
    )


def _require_features(info: Info, file: Path) -> None:
    if 'action' not in info.features:
        raise UserError(f"{file}: features has no 'action'")
    if not info.fps > 0:
        raise UserError(f'{file}: fps is {info.fps:g}, expected more than 0')
    if len(info.features['action']['shape']) != 1:
        raise UserError(f'{file}: action has shape {info.features["action"]["shape"]}, expected one dimension')
    if info.features['action']['dtype'] not in _NUMBERS:
        raise UserError(f'{file}: action is {info.features["action"]["dtype"]}, expected numbers')
    videos = [key for key in info.cameras if info.features[key]['dtype'] == 'video']
    if videos and info.video_path is None:
        raise UserError(f'{file}: has video features and no video_path')
    # A template with other fields than v3.0 has would otherwise be found out in the middle of the import.
    FileNumber().path(info.path, info.data_path)
    FileNumber().path(info.path, info.video_path or '', *videos[:1])


def _element_names(short: str, feature: dict[str, Any]) -> list[str]:
    """The feature's names, under whatever word they are listed, or its own name with an index."""
    names, size = feature.get('names'), feature['shape'][0]
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    if isinstance(names, list) and len(names) == size and len(set(names)) == size:
        return [str(name) for name in names]
    return [f'{short}_{i}' for i in range(size)]


def _is_depth(feature: dict[str, Any]) -> bool:
    info = feature.get('info') or feature.get('video_info') or {}
    return bool(info.get('is_depth_map') or info.get('video.is_depth_map'))
