"""Search over chains of steps: which accuracy, compute and size can be had from a model, and which of them to serve.

Optuna's multi-objective TPE (Ozaki et al., "Multiobjective tree-structured Parzen estimator", JAIR 73, 2022) proposes
chains; each is really built, measured and evaluated. Candidates are compared on one half of the held-out samples; the
other half is for the figures of the one that is chosen, which would otherwise be the luckiest and not the best.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import torch
from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.log import log
from trimtab_workloads.optimize.cache import begin
from trimtab_workloads.optimize.config import OptimizeConfig, Search, Step
from trimtab_workloads.optimize.evaluate import evaluate
from trimtab_workloads.optimize.pipeline import Chain
from trimtab_workloads.optimize.profile import profile
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train.architecture import Architecture

# Values of an attribute of a trial.
_STEPS, _SKIPPED = "steps", "skipped"
# The first to be tried: what all others are compared with.
_AS_IT_IS = {"distill": 0.0, "prune": 0.0, "factorize": 0.0, "quantize": ""}
# Half of the loss that the gate allows: the half that decides is small, and the best of many looks better than it is.
_SHARE_OF_DROP = 0.5

# In the report: a termination message is short.
_SHOWN, _SHOWN_REASONS = 8, 3


@dataclass(frozen=True)
class Candidate:
    """A chain that was built and measured."""

    trial: int
    steps: tuple[Step, ...]
    accuracy: float
    """On the half of the held-out samples that decides."""
    cpu_seconds_per_item: float
    size_bytes: int


@dataclass(frozen=True)
class Found:
    """What a search gave."""

    front: tuple[Candidate, ...]
    """Those that no other one beats in accuracy, compute and size at once; the most accurate first."""
    chosen: Candidate
    tried: int
    """Chains that were built and measured."""
    skipped: tuple[str, ...]
    """Why others were not, each with its chain."""


def halves(source: Source) -> tuple[Source, Source]:
    """The source with the half of the held-out samples that decides, and with the half that confirms."""
    return (
        dataclasses.replace(source, held_out_x=source.held_out_x[::2], held_out_y=source.held_out_y[::2]),
        dataclasses.replace(source, held_out_x=source.held_out_x[1::2], held_out_y=source.held_out_y[1::2]),
    )


def search(config: OptimizeConfig, settings: Search, source: Source) -> Found:
    """Tries chains until there are enough, going on where an interrupted search of the same kind stopped.

    Args:
        config: The variant's.
        settings: How much to try, and what to prefer.
        source: The trained model with the half of the held-out samples that decides.

    Raises:
        ConfigError: Not one chain could be built; the message says why.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _study(config, settings, source) as study:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            log("search_interrupted_trial", trial=trial.number)
            study.tell(trial.number, state=TrialState.FAIL)
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(_AS_IT_IS)
        while _ended(study) < settings.trials:
            _try(study, config, settings, source)
        return _found(study, settings, source)


@contextmanager
def _study(config: OptimizeConfig, settings: Search, source: Source) -> Iterator[optuna.Study]:
    """The study, kept beside the artifact under the digest of all that its trials depend on."""
    # Not by what is chosen: another limit or preference chooses from the same trials.
    parts = (json.dumps(sorted(settings.steps)), config.benchmark.model_dump_json())
    name = hashlib.sha256(begin(source.digest, str(config.seed), *parts).encode()).hexdigest()[:16]
    config.output.mkdir(parents=True, exist_ok=True)
    journal = config.output / f"search-{name}.log"
    for old in config.output.glob("search-*.log"):
        if old != journal:
            old.unlink(missing_ok=True)
    yield optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        directions=["maximize", "minimize", "minimize"],
        sampler=optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=max(4, settings.trials // 3)),
        load_if_exists=True,
    )


def _ended(study: optuna.Study) -> int:
    """Trials that count: an interrupted one is tried again, in the place of another one."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    return sum(trial.state is TrialState.COMPLETE or _SKIPPED in trial.user_attrs for trial in trials)


def _try(study: optuna.Study, config: OptimizeConfig, settings: Search, source: Source) -> None:
    trial = study.ask()
    steps = draw(trial, settings, source.model.architecture)
    text = json.dumps([step.model_dump(mode="json", by_alias=True, exclude_none=True) for step in steps])
    trial.set_user_attr(_STEPS, text)
    same = next(
        (t for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
         if t.user_attrs.get(_STEPS) == text and (t.values or _SKIPPED in t.user_attrs)),
        None,
    )  # fmt: skip
    if same is not None and same.values:
        study.tell(trial, same.values)
        return
    try:
        if same is not None:
            raise ConfigError(same.user_attrs[_SKIPPED])
        accuracy, cpu_seconds, size = _measure(config, steps, source)
    except ConfigError as error:
        log("search_skipped", trial=trial.number, steps=text, why=str(error))
        trial.set_user_attr(_SKIPPED, str(error))
        study.tell(trial, state=TrialState.FAIL)
        return
    log("search_trial", trial=trial.number, steps=text, accuracy=accuracy, cpu_seconds_per_item=cpu_seconds, bytes=size)
    study.tell(trial, [accuracy, cpu_seconds, float(size)])


def draw(trial: optuna.Trial, settings: Search, architecture: Architecture) -> tuple[Step, ...]:
    """The chain that a trial proposes, of the kinds of steps that are allowed and fit the family."""
    steps = []
    if "distill" in settings.steps and (width := trial.suggest_categorical("distill", [0.0, 0.25, 0.5, 0.75])):
        depths = sorted({max(1, len(architecture.channels) // 2), len(architecture.channels)})
        depth = trial.suggest_categorical("depth", depths)
        steps.append({"distill": {"width": width, "depth": depth}})
    structured = "prune" in settings.steps and architecture.family == "digits-cnn"
    if structured and (amount := trial.suggest_categorical("prune", [0.0, 0.25, 0.5, 0.75])):
        steps.append({"prune": {"amount": amount}})
    if "factorize" in settings.steps and (energy := trial.suggest_categorical("factorize", [0.0, 0.8, 0.9, 0.95])):
        steps.append({"factorize": {"energy": energy}})
    if "quantize" in settings.steps:
        modes = ["", "static", "dynamic", "qat", "weightOnly int8", "weightOnly int4"]
        if chosen := trial.suggest_categorical("quantize", modes):
            mode, _, dtype = chosen.partition(" ")
            steps.append({"quantize": {"mode": mode, "dtype": dtype or "int8"}})
    return tuple(Step.model_validate(step) for step in steps)


def _measure(config: OptimizeConfig, steps: tuple[Step, ...], source: Source) -> tuple[float, float, int]:
    with tempfile.TemporaryDirectory() as scratch:
        built = Chain(config.model_copy(update={"steps": steps}), source, Path(scratch)).run().artifact
        largest = config.benchmark.model_copy(update={"batches": (max(config.benchmark.batches),)})
        rows, _ = profile(built, largest)
        counts = evaluate(built, source, config.benchmark.threads)
        return counts.right / counts.samples, float(rows[0]["cpuSecondsPerItem"]), built.stat().st_size


def _found(study: optuna.Study, settings: Search, source: Source) -> Found:
    by_chain = {trial.user_attrs[_STEPS]: trial for trial in reversed(study.best_trials)}
    front = tuple(sorted(map(_candidate, by_chain.values()), key=lambda c: (-c.accuracy, c.cpu_seconds_per_item)))
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    tried = {t.user_attrs[_STEPS] for t in ended if t.state is TrialState.COMPLETE}
    skipped = {t.user_attrs[_STEPS]: t.user_attrs[_SKIPPED] for t in ended if _SKIPPED in t.user_attrs}
    if not front:
        raise ConfigError(f"search: no chain could be built; the last one: {[*skipped.values()][-1]}")
    with torch.inference_mode():
        answers = source.model(torch.from_numpy(source.held_out_x)).argmax(1).numpy()
    chosen = choose(front, settings, float((answers == source.held_out_y).mean()))
    return Found(front, chosen, len(tried), tuple(f"{chain}: {why}" for chain, why in skipped.items()))


def _candidate(trial: optuna.trial.FrozenTrial) -> Candidate:
    accuracy, cpu_seconds, size = trial.values
    steps = tuple(Step.model_validate(step) for step in json.loads(trial.user_attrs[_STEPS]))
    return Candidate(trial.number, steps, accuracy, cpu_seconds, int(size))


def choose(front: tuple[Candidate, ...], settings: Search, baseline: float) -> Candidate:
    """The fastest, or the smallest, that the gate is likely to let pass; where none is, the most accurate.

    Args:
        front: Candidates.
        settings: The gate's limits, and what to prefer.
        baseline: Accuracy of the source on the same samples.
    """
    floor = settings.min_accuracy or 0.0
    if settings.max_accuracy_drop is not None:
        floor = max(floor, baseline - _SHARE_OF_DROP * settings.max_accuracy_drop)
    likely = [candidate for candidate in front if candidate.accuracy >= floor]
    if not likely:
        return max(front, key=lambda c: (c.accuracy, -c.cpu_seconds_per_item))
    if settings.prefer == "Size":
        return min(likely, key=lambda c: (c.size_bytes, c.cpu_seconds_per_item))
    return min(likely, key=lambda c: (c.cpu_seconds_per_item, c.size_bytes))


def report(found: Found) -> dict[str, object]:
    """What the search gave, for the result: the chosen point and the most accurate others."""
    others = [candidate for candidate in found.front if candidate != found.chosen][: _SHOWN - 1]
    shown = [candidate for candidate in found.front if candidate in others or candidate == found.chosen]
    front = [
        {
            "steps": label(candidate.steps),
            "accuracy": round(candidate.accuracy, 6),
            "cpuSecondsPerItem": round(candidate.cpu_seconds_per_item, 9),
            "sizeBytes": candidate.size_bytes,
            "chosen": candidate == found.chosen,
        }
        for candidate in shown
    ]
    reasons = [reason[:160] for reason in found.skipped[:_SHOWN_REASONS]]
    return {"trials": found.tried, "skipped": len(found.skipped), "reasons": reasons, "front": front}


def label(steps: tuple[Step, ...]) -> str:
    """A chain in short, such as `prune 0.5, quantize static int8`."""
    said = []
    for step in steps:
        if step.prune:
            said.append(f"prune {step.prune.amount:g}")
        elif step.distill:
            said.append(f"distill {step.distill.width:g} depth {step.distill.depth}")
        elif step.factorize:
            said.append(f"factorize {step.factorize.energy:g}")
        elif step.quantize:
            said.append(f"quantize {step.quantize.mode} {step.quantize.dtype}")
    return ", ".join(said)
