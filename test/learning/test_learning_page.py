"""docs/learning.md names what there is to set and what is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hybrid_rl_ros.classifier_config import ClassifierConfig
from hybrid_rl_ros.config import DsrlConfig, EncoderConfig, OfflineConfig, SacConfig, TrainConfig

PAGE = (Path(__file__).parents[2] / 'docs' / 'learning.md').read_text()


@pytest.mark.parametrize(
    ('section', 'model'),
    [('sac', SacConfig), ('offline', OfflineConfig), ('encoder', EncoderConfig), ('train', TrainConfig)],
)
def test_every_option_is_on_the_page(section, model):
    (options,) = re.findall(rf'^### `{section}`\n(.*?)^##', PAGE, re.MULTILINE | re.DOTALL)
    assert set(model.model_fields) <= set(re.findall(r'`(\w+)`', options))


def test_every_option_of_steering_is_on_its_page():
    page = (Path(__file__).parents[2] / 'docs' / 'steering.md').read_text()
    assert set(DsrlConfig.model_fields) <= set(re.findall(r'`(\w+)`', page))


def test_every_option_of_the_success_classifier_is_on_its_page():
    page = (Path(__file__).parents[2] / 'docs' / 'classifier.md').read_text()
    for name, field in ClassifierConfig.model_fields.items():
        default = 'all' if name == 'cameras' else field.default
        assert f'| `{name}` | {default} |' in page


@pytest.mark.parametrize('preset', ['rlpd', 'serl', 'hil_serl'])
def test_the_presets_are_those_of_the_table(preset):
    lines = [line.strip('| ').split(' | ') for line in PAGE.splitlines() if line.startswith('| `')]
    column = {'rlpd': 1, 'serl': 2, 'hil_serl': 3}[preset]
    config = SacConfig(preset=preset)
    checked = 0
    for cells in lines:
        if len(cells) == 4:
            names = re.findall(r'`(\w+)`', cells[0])
            values = [str(getattr(config, name)).lower() for name in names]
            assert cells[column] == ' / '.join(values), names
            checked += 1
    assert checked >= 8
