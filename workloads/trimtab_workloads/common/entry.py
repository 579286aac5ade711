"""How every entry point begins and ends: configuration in, exit status and result out."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

from trimtab_workloads.common.config import ConfigError, WorkloadConfig, load_config
from trimtab_workloads.common.log import log
from trimtab_workloads.common.termination import write_result

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2
# 128 + SIGTERM, as if the signal had ended the process: stopped on request, with the work saved.
EXIT_STOPPED = 143

C = TypeVar("C", bound=WorkloadConfig)


def run_entry_point(model: type[C], main: Callable[[C], int]) -> NoReturn:
    """Reads the configuration, runs `main` with it and ends the process with the status that it returns.

    A `ConfigError` ends it with 2, any other exception with 1; both leave `{"error": ...}` in the termination log.
    """
    try:
        status = main(load_config(model))
    except ConfigError as error:
        _fail(str(error), error.reason)
        status = EXIT_CONFIG
    except Exception as error:
        log("failed", traceback=traceback.format_exc())
        _fail(f"{type(error).__name__}: {error}")
        status = EXIT_FAILED
    sys.exit(status)


def _fail(message: str, reason: str = "") -> None:
    print(message, file=sys.stderr, flush=True)
    write_result({"error": message[:2000], **({"reason": reason} if reason else {})})
