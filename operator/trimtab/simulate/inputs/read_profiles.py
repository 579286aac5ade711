"""Reads a file of serving profiles, whichever format it has."""

from pathlib import Path

from trimtab.simulate.inputs import profiles_splitwise, profiles_triton
from trimtab.simulate.inputs.profiles import ServingProfiles
from trimtab.simulate.inputs.profiles_yaml import read_yaml
from trimtab.simulate.inputs.table import InputError, read_sheet


def read_profiles(path: Path) -> ServingProfiles:
    """Read trimtab's YAML or JSON, Splitwise's `perf_model.csv`, or a CSV of Triton's Model Analyzer.

    Raises:
        InputError: The file is wrong, or of no format that is known.
    """
    if path.name.endswith((".yaml", ".yml", ".json")):
        return read_yaml(path)
    if not path.name.endswith((".csv", ".csv.gz")):
        message = "profiles are .yaml, .json or .csv (Splitwise's perf_model.csv, Triton's Model Analyzer)"
        raise InputError(path, 0, 0, f"the name does not say the format; {message}")
    header = set(read_sheet(path).header)
    likeness = {
        "splitwise": len(header & set(profiles_splitwise.HEADER)),
        "triton": len(header & set(profiles_triton.HEADER)),
    }
    if not any(likeness.values()):
        message = "no known column; profiles in CSV are Splitwise's perf_model.csv or those of Triton's Model Analyzer"
        raise InputError(path, 1, 1, message)
    if likeness["splitwise"] >= likeness["triton"]:
        return profiles_splitwise.read_splitwise(path)
    return profiles_triton.read_triton(path)
