"""Small helpers to write SDF: numbers in one form, so that a generated file is the same on every machine."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from typing import Any

import numpy as np

Element = ElementTree.Element


def number(value: float) -> str:
    """Nine digits: far below what matters, far above what two machines' sines differ by."""
    return f'{round(float(value), 9) + 0.0:.9g}'


def numbers(values: Iterable[float]) -> str:
    return ' '.join(number(value) for value in values)


def add(parent: Element, tag: str, text: Any = None, **attributes: str) -> Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    if isinstance(text, (bool, np.bool_)):
        element.text = str(bool(text)).lower()
    elif isinstance(text, (int, float, np.floating)):
        element.text = number(float(text))
    elif isinstance(text, str):
        element.text = text
    elif text is not None:
        element.text = numbers(text)
    return element


def add_pose(parent: Element, position: Iterable[float], rpy: Iterable[float], relative_to: str = '') -> Element:
    attributes = {'relative_to': relative_to} if relative_to else {}
    return add(parent, 'pose', [*position, *rpy], **attributes)


def add_material(visual: Element, rgba: Iterable[float]) -> None:
    material = add(visual, 'material')
    for kind in ('ambient', 'diffuse'):
        add(material, kind, rgba)
    add(material, 'specular', (0.1, 0.1, 0.1, 1.0))


def add_friction(collision: Element, coefficient: float) -> None:
    ode = add(add(add(collision, 'surface'), 'friction'), 'ode')
    add(ode, 'mu', coefficient)
    add(ode, 'mu2', coefficient)


def add_box(geometry: Element, size_m: Iterable[float]) -> None:
    add(add(geometry, 'box'), 'size', size_m)


def add_inertial(link: Element, mass_kg: float, diagonal: Iterable[float], at_m: Iterable[float] = (0, 0, 0)) -> None:
    inertial = add(link, 'inertial')
    add_pose(inertial, at_m, (0, 0, 0))
    add(inertial, 'mass', mass_kg)
    inertia = add(inertial, 'inertia')
    for name, value in zip(('ixx', 'iyy', 'izz'), diagonal, strict=True):
        add(inertia, name, value)
    for name in ('ixy', 'ixz', 'iyz'):
        add(inertia, name, 0.0)


def box_inertia(mass_kg: float, size_m: Iterable[float]) -> tuple[float, float, float]:
    x, y, z = size_m
    return mass_kg / 12 * (y * y + z * z), mass_kg / 12 * (x * x + z * z), mass_kg / 12 * (x * x + y * y)


def add_plugin(parent: Element, system: str, name: str = '', **settings: Any) -> Element:
    """One of gz-sim's own systems, such as `joint-state-publisher` with its class JointStatePublisher."""
    class_name = name or ''.join(part.capitalize() for part in system.split('-'))
    attributes = {'filename': f'gz-sim-{system}-system', 'name': f'gz::sim::systems::{class_name}'}
    plugin = ElementTree.SubElement(parent, 'plugin', attributes)
    for key, value in settings.items():
        for each in value if isinstance(value, list) else [value]:
            add(plugin, key, each)
    return plugin


def to_text(root: Element, comment: str) -> str:
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n<!-- {comment} -->\n{ElementTree.tostring(root, encoding="unicode")}\n'


def rpy_of(matrix: np.ndarray) -> np.ndarray:
    """Roll, pitch and yaw (fixed axes x, y, z) of a rotation matrix (3, 3)."""
    pitch = np.arctan2(-matrix[2, 0], np.hypot(matrix[0, 0], matrix[1, 0]))
    roll = np.arctan2(matrix[2, 1], matrix[2, 2])
    return np.array([roll, pitch, np.arctan2(matrix[1, 0], matrix[0, 0])])


def matrix_of(rpy: Iterable[float]) -> np.ndarray:
    """The inverse of rpy_of."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(list(rpy)), np.sin(list(rpy))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
