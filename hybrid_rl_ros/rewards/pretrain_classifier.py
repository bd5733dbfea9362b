"""`python -m hybrid_rl_ros.rewards.pretrain_classifier --run DIR --demos DIR`: a success classifier of camera frames.

Writes DIR/classifier.safetensors, classifier.json with what the held-out episodes say of it, and contact_sheet.png with
the frames of these that it tells worst.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs, require_same_specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.pretraining_process import run_pretraining
from hybrid_rl_ros.learning.progress_lines import ProgressLines
from hybrid_rl_ros.learning.update_loop import resolve_device
from hybrid_rl_ros.rewards.classifier import SuccessClassifier
from hybrid_rl_ros.rewards.classifier_measures import LEAST_THRESHOLD, Confusion, LabelledFrames, Scores
from hybrid_rl_ros.rewards.classifier_training import train_classifier
from hybrid_rl_ros.rewards.contact_sheet import write_mistakes
from hybrid_rl_ros.rewards.success_gate import refusals

LEAST_RECALL = 0.5


def pretrain_classifier(config: Config, specs: Specs, demos_folder: Path | None, run: Path) -> Path:
    """Train from the store `demos_folder` and say how good it is; returns the classifier's path. Raises UserError."""
    if demos_folder is None:
        raise UserError('a success classifier learns from recorded steps: set demos to the folder of some')
    with ReplayStore.open(demos_folder, read_only=True) as store:
        require_same_specs(store.specs, specs, str(demos_folder))
        lines = ProgressLines('classifier')
        classifier, learned_from, scores = train_classifier(store, config, resolve_device(config), lines)
        facts = facts_of(classifier, learned_from, scores, config)
        successes = store.states(scores.frames.rows[scores.frames.success])
        facts['gate_keeps_out'] = refusals(classifier.gate, successes, store.specs.observation.state.names)
        write_mistakes(scores, classifier, store, run / 'contact_sheet.png')
    (run / 'classifier.json').write_text(json.dumps(facts, indent=1) + '\n')
    sys.stdout.write('\n'.join(report_lines(facts)) + '\n')
    sys.stdout.flush()
    return classifier.save(run)


def facts_of(
    classifier: SuccessClassifier, learned_from: LabelledFrames, scores: Scores, config: Config
) -> dict[str, Any]:
    """What classifier.json says."""
    success = scores.frames.success
    in_use = Confusion.of(success, scores.gated, classifier.threshold)
    without_gate = Confusion.of(success, scores.probability, classifier.threshold)
    return {
        'seed': config.seed,
        'cameras': [image.camera for image in classifier.images],
        'learned_from': _counts(learned_from),
        'held_out': _counts(scores.frames),
        'threshold': classifier.threshold,
        'max_false_positive_rate': config.classifier.max_false_positive_rate,
        'confusion': asdict(in_use),
        'false_positive_rate': in_use.false_positive_rate,
        'recall': in_use.recall,
        'confusion_without_gate': asdict(without_gate),
        'false_positive_rate_without_gate': without_gate.false_positive_rate,
        'recall_without_gate': without_gate.recall,
        'gate': classifier.gate.ranges,
    }


def report_lines(facts: dict[str, Any]) -> list[str]:
    """What is printed of classifier.json."""
    table, held_out = facts['confusion'], facts['held_out']
    successes, others = held_out['successes'], held_out['others']
    said = [
        f'learned from {_said(facts["learned_from"])}; held out {_said(held_out)}',
        f'{"held out":<12}{"fired":>8}{"silent":>8}',
        f'{"success":<12}{table["true_positives"]:>8}{table["missed"]:>8}',
        f'{"no success":<12}{table["false_positives"]:>8}{table["true_negatives"]:>8}',
        f'threshold {facts["threshold"]:.4f}, above which at most {facts["max_false_positive_rate"]:.2%} '
        'may be false positives',
        f'false positives {facts["false_positive_rate"]:.2%} of {others} frames with the gate, '
        f'{facts["false_positive_rate_without_gate"]:.2%} without',
        f'recall {facts["recall"]:.1%} of {successes} frames with the gate, {facts["recall_without_gate"]:.1%} without',
    ]
    if facts['recall'] < LEAST_RECALL:
        raised, refused = facts['threshold'] > LEAST_THRESHOLD, facts['recall'] < facts['recall_without_gate']
        kept_out = ', '.join(f'{count} by {name}' for name, count in facts['gate_keeps_out'].items())
        mends = [
            'look at contact_sheet.png and record more of them',
            *(['allow a higher classifier.max_false_positive_rate'] if raised else []),
            *([f'widen classifier.gate_margin, for the gate keeps out {kept_out}'] if refused else []),
        ]
        said.append(f'warning: misses {1 - facts["recall"]:.1%} of the successes held out; {", or ".join(mends)}')
    return [f'pretrain: {line}' for line in said]


def _counts(frames: LabelledFrames) -> dict[str, int]:
    return {
        'episodes': len(np.unique(frames.episodes)),
        'successes': int(frames.success.sum()),
        'others': int((~frames.success).sum()),
    }


def _said(counts: dict[str, int]) -> str:
    return f'{counts["episodes"]} episodes, {counts["successes"]} frames of success and {counts["others"]} others'


def main() -> int:
    return run_pretraining(
        'A success classifier into a run folder', pretrain_classifier, lambda _: ['classifier.batch']
    )


if __name__ == '__main__':
    sys.exit(main())
