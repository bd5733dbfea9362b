"""The `hybrid-rl` command."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from hybrid_rl_ros.bringup import RunFailedError
from hybrid_rl_ros.data_commands import add_data_commands
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError


def main(arguments: list[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; 0 when it is done, 2 and one line for a user's mistake, 1 when a run failed, 130 on Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        # SIGTERM unwinds like Ctrl-C, so that the nodes are brought down in order.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = _parser().parse_args(arguments)
        return options.call(options)
    except UserError as error:
        sys.stderr.write(f'hybrid-rl: error: {error}\n')
        return USER_ERROR_EXIT
    except RunFailedError as failure:
        sys.stderr.write(f'hybrid-rl: {failure}\n')
        return 1
    except KeyboardInterrupt:
        sys.stderr.write('hybrid-rl: stopped\n')
        return 130


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, which names the command's own help; argparse prints every option above it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f'unrecognized arguments: {" ".join(unknown)}')
        return known, unknown

    def error(self, message: str) -> NoReturn:
        raise UserError(f'{message}; see {self.prog} --help')


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog='hybrid-rl', description='Robot learning over ROS 2, on the robot')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    train = commands.add_parser('train', help='bring up the whole graph, train, and evaluate')
    train.add_argument('--config', type=Path, help='the run; not needed with --resume')
    _add_set(train)
    train.add_argument('--run', type=Path, help='run folder (default: runs/<task>-<agent>-seed<n>)')
    train.add_argument('--resume', action='store_true', help='go on with the run in --run')
    train.set_defaults(call=_train)

    evaluate = commands.add_parser('eval', help='evaluate a run through the same nodes, deterministically')
    evaluate.add_argument('--run', type=Path, required=True)
    evaluate.add_argument('--episodes', type=_positive, required=True)
    best_help = 'the policy that did best over 20 training episodes, instead of the last'
    evaluate.add_argument('--best', action='store_true', help=best_help)
    _add_set(evaluate)
    evaluate.set_defaults(call=_eval)

    record = commands.add_parser('record', help='collect demonstrations through the graph')
    record.add_argument('--config', type=Path, required=True)
    record.add_argument('--episodes', type=_positive, required=True, help='how many to keep')
    record.add_argument('--out', type=Path, required=True)
    record.add_argument('--expert', help="name of a task's scripted expert")
    record.add_argument('--noise', type=float, default=0.0, help="the expert's noise, a fraction of the action range")
    keep_help = 'success: successful episodes; all: also failures and time limits, for offline learning'
    record.add_argument('--keep', choices=['success', 'all'], default='success', help=keep_help)
    label_help = 'what a success classifier learns from: success ends nothing and is marked wherever it is seen'
    record.add_argument('--label', action='store_true', help=label_help)
    record.add_argument('--teleop', metavar='DEVICE', help='a file of config/teleop/ by its name, or a path')
    _add_set(record)
    record.set_defaults(call=_record)

    pretrain = commands.add_parser('pretrain', help='what is learned from recorded episodes alone')
    what_help = 'policy: behaviour cloning of demonstrations, and offline learning; classifier: of success, from images'
    pretrain.add_argument('--what', choices=['policy', 'classifier'], default='policy', help=what_help)
    pretrain.add_argument('--config', type=Path, required=True)
    pretrain.add_argument('--demos', type=Path, required=True)
    pretrain.add_argument('--run', type=Path, required=True)
    refit_help = 'classifier: learn also from the frames of this run over which a person disagreed with it'
    pretrain.add_argument('--refit', type=Path, metavar='RUN', help=refit_help)
    _add_set(pretrain)
    pretrain.set_defaults(call=_pretrain)

    report = commands.add_parser('report', help='one HTML page of a run')
    report.add_argument('--run', type=Path, required=True)
    report.set_defaults(call=_report)

    bench = commands.add_parser('bench', help='performance figures')
    bench.add_argument('name', choices=['learner', 'inference', 'replay', 'transport', 'loop'])
    bench.add_argument('--json', action='store_true')
    bench.add_argument('--seconds', type=float, default=60.0, help='bench loop, transport: how long in real time')
    bench.add_argument('--steps', type=_positive, help='steps that bench replay holds (default: 8000, some 2.9 GB)')
    bench.add_argument('--threads', type=_positive, help='of each side of bench learner (default: 2)')
    bench.add_argument('--rounds', type=_positive, help='turns that each side of bench learner gets')
    for peer in ('rlpd', 'lerobot'):
        bench.add_argument(f'--{peer}', type=Path, metavar='PATH', help=f'bench learner beside {peer}: its checkout')
        bench.add_argument(f'--{peer}-python', metavar='PY', help='the interpreter that has what it needs')
    bench.set_defaults(call=_bench)

    doctor = commands.add_parser('doctor', help='what is wrong with this set-up, and the mend')
    doctor.add_argument('--config', type=Path, help='the run that is wanted')
    doctor.add_argument('--robot', help='a robot by its name in config/robots/ or its file; it is looked for over ROS')
    doctor.add_argument('--json', action='store_true')
    _add_set(doctor)
    doctor.set_defaults(call=_doctor)

    add_data_commands(commands)
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--set', dest='overrides', action='append', default=[], metavar='KEY=VALUE')


def _positive(text: str) -> int:
    if text.isdecimal() and (value := int(text)) > 0:
        return value
    raise argparse.ArgumentTypeError(f'expected a whole number above 0, got {text}')


def _train(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.runs import train

    train(options.config, options.overrides, options.run, options.resume)
    return 0


def _eval(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.runs import evaluate

    evaluate(options.run, options.episodes, options.overrides, options.best)
    return 0


def _record(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.recording import record

    if options.teleop is None and options.expert is None:
        raise UserError('record: name who acts: a person with --teleop DEVICE, or a scripted expert with --expert TASK')
    if options.teleop is not None and options.expert is not None:
        raise UserError('record: --teleop or --expert, not both: one of them acts')
    if not 0.0 <= options.noise <= 1.0:
        raise UserError(f'record: --noise {options.noise:g}: expected a fraction of the action range, 0 to 1')
    if options.teleop:
        options.overrides.append(f'teleop.device={options.teleop}')
    what = (options.episodes, options.out, options.expert, options.noise, options.keep, options.label)
    record(options.config, options.overrides, *what)
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.runs import pretrain_only

    if options.refit is not None and options.what != 'classifier':
        raise UserError('pretrain: --refit is of a success classifier; add --what classifier')
    pretrain_only(options.config, options.overrides, options.demos, options.run, options.what, options.refit)
    return 0


def _report(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.report import write_report

    sys.stdout.write(f'{write_report(options.run)}\n')
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.doctor import doctor

    if options.overrides and options.config is None:
        raise UserError('doctor: --set is of the run; name it with --config')
    return doctor(options.config, options.robot, options.json, options.overrides)


def _bench(options: argparse.Namespace) -> int:
    if options.name == 'inference':
        from hybrid_rl_ros.bench_inference import bench_inference

        bench_inference(options.json)
        return 0
    if options.name == 'replay':
        from hybrid_rl_ros.bench_replay import bench_replay

        bench_replay(options.json, options.steps)
        return 0
    if options.name == 'learner':
        from hybrid_rl_ros.bench_learner import LEROBOT, RLPD, bench_learner, peer_at

        peers = peer_at(RLPD, '--rlpd', options.rlpd, options.rlpd_python)
        peers += peer_at(LEROBOT, '--lerobot', options.lerobot, options.lerobot_python)
        bench_learner(options.json, peers, options.threads, options.rounds)
        return 0
    if options.name == 'transport':
        from hybrid_rl_ros.bench_transport import bench_transport

        bench_transport(options.json, options.seconds)
        return 0
    from hybrid_rl_ros.bench_loop import bench_loop

    bench_loop(options.json, options.seconds)
    return 0


if __name__ == '__main__':
    main()
