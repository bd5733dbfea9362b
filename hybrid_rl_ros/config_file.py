"""Reading and checking YAML files: every key checked, an unknown key is an error that names its nearest neighbour."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hybrid_rl_ros.errors import UserError


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """`off` and `no` are words, as in YAML 1.2 (`gl: off`); pydantic still takes them where a bool is wanted."""

    yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if tag != 'tag:yaml.org,2002:bool' or first in 'tTfF']
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def parse_yaml(text: str) -> Any:
    """Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)


def save_config(config: BaseModel, path: Path) -> None:
    path.write_text(yaml.safe_dump(config.model_dump(mode='json'), sort_keys=False))


def share_folder(name: str) -> Path:
    """The folder `config`, `urdf`, `launch` or `worlds`: in the checkout, or as installed under share/."""
    package = Path(__file__).resolve().parent
    candidates = [package.parent / name]
    prefixes = [Path(prefix) for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if prefix]
    candidates += [prefix / 'share' / 'hybrid_rl_ros' / name for prefix in prefixes]
    # pip puts data_files under the environment's prefix, four levels above site-packages/<package>.
    candidates += [parent / 'share' / 'hybrid_rl_ros' / name for parent in package.parents]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise UserError(f'the folder {name}/ of hybrid_rl_ros was not found; looked in {", ".join(map(str, candidates))}')


def named_file(kind: str, name_or_path: str) -> Path:
    """The file of config/<kind>/ with a name, or a path as it is. Raises UserError with the nearest name."""
    path = Path(name_or_path)
    if path.suffix in ('.yaml', '.yml'):
        return path
    files = {file.stem: file for file in sorted((share_folder('config') / kind).glob('*.yaml'))}
    if name_or_path not in files:
        nearest = difflib.get_close_matches(name_or_path, files, n=1, cutoff=0.0)[0]
        raise UserError(
            f'{name_or_path!r} is not in config/{kind} ({", ".join(files)}); the nearest is {nearest!r}; '
            'or give the path of a .yaml file'
        )
    return files[name_or_path]


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in `path`. Raises UserError."""
    try:
        data = parse_yaml(path.read_text())
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except UnicodeDecodeError:
        raise UserError(f'{path}: expected YAML, but this is no text') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None
    except yaml.YAMLError as error:
        raise UserError(f'{path}: not valid YAML: {" ".join(str(error).split())}') from None
    if not isinstance(data, dict):
        raise UserError(f'{path}: expected a mapping of keys to values at the top level')
    return data


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By dotted keys, the two values of each that is not the same in both; None where there is none."""
    first, second = _flattened(one), _flattened(other)
    keys = sorted(first.keys() | second.keys())
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def _flattened(data: dict[str, Any], within: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flattened(value, f'{within}{key}.') if isinstance(value, dict) else {within + key: value}
    return flat


def validate(model: type[Any], data: dict[str, Any], where: str) -> Any:
    """`data` as a `model`. Raises UserError with one line for the first mistake, beginning with `where`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UserError(f'{where}: {_first_complaint(model, error)}') from None


def _first_complaint(model: type[BaseModel], error: ValidationError) -> str:
    """One line for the first mistake: key, value, rule, and for an unknown key the nearest valid one."""
    first = error.errors()[0]
    key = '.'.join(str(part) for part in first['loc'])
    if first['type'] == 'extra_forbidden':
        given = tuple(str(part) for part in first['loc'])
        nearest = difflib.get_close_matches(key, _valid_keys(model, given), n=1, cutoff=0.0)
        return f'unknown key {key!r}; the nearest valid key is {nearest[0]!r}'
    rule = first['msg'].removeprefix('Value error, ')
    if first['type'] == 'missing':
        return f'{key}: required and not given'
    if first['type'] == 'value_error' and isinstance(first['input'], dict):
        # Of a whole section, and says itself which values do not go together.
        return f'{key}: {rule}' if key else rule
    if first['type'] == 'string_pattern_mismatch' and (described := _description(model, first['loc'])):
        rule = f'expected {described}'
    return f'{key}: {rule}, got {first["input"]!r}' if key else rule


def _description(model: Any, location: tuple[int | str, ...]) -> str | None:
    """Of the field at `location`, if it is one of a section in a section."""
    field = None
    for name in location:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or name not in model.model_fields:
            return None
        field = model.model_fields[str(name)]
        model = field.annotation
    return field.description if field else None


def _valid_keys(
    model: type[BaseModel], given: tuple[str, ...], above: tuple[str, ...] = (), inside: tuple[type, ...] = ()
) -> list[str]:
    """Those of `model`, whose own key is `above`. Sections in a mapping or a list go by the name in `given`."""
    keys = []
    for name, field in model.model_fields.items():
        path = (*above, name)
        keys.append('.'.join(path))
        if get_origin(field.annotation) in (dict, list) and given[: len(path)] == path:
            path = given[: len(path) + 1]
        for nested in (field.annotation, *getattr(field.annotation, '__args__', ())):
            # A section may be part of itself; its keys are told once.
            if isinstance(nested, type) and issubclass(nested, BaseModel) and nested not in inside:
                keys += _valid_keys(nested, given, path, (*inside, model))
    return keys
