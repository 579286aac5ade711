"""What the commands of `trimtab simulate` share: checks before a long run, errors without a traceback, the report."""

import importlib.util
import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

import trimtab

if TYPE_CHECKING:
    from trimtab.simulate.inputs.carbon import CarbonSeries
    from trimtab.simulate.report.facts import RunFacts
    from trimtab.simulate.results import PolicyResult

_PACKAGE = Path(trimtab.__file__).parent
_NEEDED = ("scipy", "matplotlib")


def need_extra() -> None:
    """Refuse to start without the libraries of the extra.

    Raises:
        typer.Exit: One of them is not installed; how to install it was said.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"trimtab simulate needs {' and '.join(missing)}: pip install 'trimtab[simulate]'")


def fail(message: str) -> NoReturn:
    """Say what is wrong on the standard error stream and leave with code 2.

    Raises:
        typer.Exit: Always.
    """
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(2)


@contextmanager
def said_errors() -> Iterator[None]:
    """Say errors of input files and of options as they are, without a traceback."""
    from trimtab.simulate.inputs.table import InputError

    try:
        yield
    except InputError as error:
        fail(str(error))
    except ValueError as error:
        # Our own code says with it which option is wrong. One from within a library is a bug: its traceback is wanted.
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if not Path(raised_in).is_relative_to(_PACKAGE):
            raise
        fail(str(error))


def refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that have no meaning for a run, where they were given.

    Raises:
        typer.BadParameter: One of them was given.
    """
    for parameter in context.command.params:
        if parameter.name in names and _was_given(context, parameter.name):
            raise typer.BadParameter(f"it has no meaning {why}; leave it out", param_hint=parameter.opts[0])


def given(**options: Any) -> dict[str, Any]:
    """The options that have a value: the others keep the defaults of what they are for."""
    return {name: value for name, value in options.items() if value is not None}


def chosen_policies(text: str | None, known: Sequence[str], where: str) -> tuple[str, ...]:
    """The policies of a comma-separated list, all of them without one.

    Args:
        text: The list.
        known: The policies that there are.
        where: For what, for a person: `with --format pollux`.

    Raises:
        typer.BadParameter: A name is unknown or there is none.
    """
    if text is None:
        return tuple(known)
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"{', '.join(map(repr, unknown))} unknown" if unknown else "no policy is named"
        raise typer.BadParameter(f"{what}; the policies {where} are {', '.join(known)}", param_hint="--policies")
    return tuple(names)


def prepared_folder(folder: Path) -> None:
    """Make the folder of the report before a long run, not after it.

    Raises:
        typer.BadParameter: It cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "result.json"
        probe.open("a", encoding="utf-8").close()
        if not probe.stat().st_size:
            probe.unlink()
    except OSError as error:
        raise typer.BadParameter(f"cannot write {folder}: {error.strerror}", param_hint="--out") from error


def read_series(path: Path, column: str | None, start_hour: int) -> "CarbonSeries":
    """The grid's carbon intensity.

    Raises:
        InputError: The file is wrong.
        typer.BadParameter: It ends before the run begins.
    """
    from trimtab.simulate.inputs.carbon import read_carbon

    series = read_carbon(path, column)
    hours = len(series.grams_per_kwh)
    if start_hour >= hours:
        raise typer.BadParameter(f"{path} has {hours} hours; give 0 to {hours - 1}", param_hint="--start")
    return series


def write_report(
    results: "Sequence[PolicyResult]", facts: "RunFacts", folder: Path, files: Mapping[str, Path | None]
) -> None:
    """Write the report, and show the main figures on the terminal.

    Args:
        results: By policy.
        facts: How the run was made.
        folder: Where to.
        files: What was read, by role; those without a path are left out.
    """
    from rich.console import Console

    from trimtab.simulate.report.facts import input_file
    from trimtab.simulate.report.write import show, write

    inputs = tuple(input_file(role, path) for role, path in files.items() if path is not None)
    facts = replace(facts, inputs=inputs)
    found = write(results, facts, folder)
    show(results, found, facts, folder, Console())


def command_line(context: typer.Context) -> str:
    """The command line that repeats the present one: what was given, by its long names, and the seed in any case."""
    words = ["trimtab", *context.command_path.split()[1:]]
    for parameter in context.command.params:
        name = parameter.name or ""
        value = context.params.get(name)
        if value is None or not (name == "seed" or _was_given(context, name)):
            continue
        if isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            words += [parameter.opts[0], _word(value)]
    return shlex.join(words)


def _word(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value.value if isinstance(value, Enum) else value)


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
