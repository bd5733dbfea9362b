"""The layouts of config/tools/ name topics and numbers that the graph has."""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import load_config

CONFIG = Path(__file__).parents[2] / 'config'
REWARD = ('reward', 'terminal', 'truncated', 'running', 'episode', 'step')


def test_plotjuggler_draws_numbers_that_exist():
    names = resolve_specs(load_config(CONFIG / 'sim_lift.yaml')).action.names
    known = {f'/action/executed/{name}/position' for name in names} | {f'/reward/{name}/position' for name in REWARD}
    layout = ElementTree.parse(CONFIG / 'tools' / 'plotjuggler.xml').getroot()
    curves = {curve.get('name') for curve in layout.iter('curve')}
    assert curves and curves <= known


def test_every_panel_of_foxglove_has_a_place_and_a_known_topic():
    layout = json.loads((CONFIG / 'tools' / 'foxglove.json').read_text())
    text = json.dumps(layout['layout'])
    assert all(f'"{panel}"' in text for panel in layout['configById'])
    cameras = [f'/{name}/{kind}' for name in ('front', 'wrist') for kind in ('image_raw', 'camera_info')]
    known = {*cameras, '/diagnostics', '/action/executed', '/reward'}
    named = set()
    for panel in layout['configById'].values():
        named |= {path['value'].partition('.')[0] for path in panel.get('paths', [])}
        named |= set(panel.get('imageMode', {}).values())
        named |= {panel['topicToRender']} if 'topicToRender' in panel else set()
    assert named == known


def test_rqt_opens_plugins_with_settings_of_topics_and_services_that_exist():
    """Read as rqt's perspective manager does: every value is a Python literal, and a plugin's group is named by it."""
    manager = json.loads((CONFIG / 'tools' / 'rqt.perspective').read_text())['groups']['pluginmanager']
    plugins = ast.literal_eval(manager['keys']['running-plugins']['repr'])
    opened = {f'plugin__{name.replace("/", "__")}__{number}' for name, numbers in plugins.items() for number in numbers}
    assert set(manager['groups']) <= opened
    values = [
        (key, ast.literal_eval(value['repr']))
        for group in manager['groups'].values()
        for key, value in group['groups']['plugin']['keys'].items()
    ]
    assert [value for key, value in values if key == 'topic'] == ['/front/image_raw', '/wrist/image_raw']
    assert ('current_service_name', '/safety_node/clear_fault') in values
    (drawn,) = [value for key, value in values if key == 'topics']
    assert {topic.rpartition('/')[0] for topic in drawn} == {'/reward', '/action/executed'}
