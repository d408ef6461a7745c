"""What the command line does around every command: logging, signals, and a failure as a sentence."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable

import typer

from pipelines.faults import TO_MEND, sentence_of

# libraries that log what only concerns their developers
NOISY = ("tensorflow", "rasterio", "pyogrio", "fiona", "matplotlib", "numba", "urllib3", "mlflow", "alembic")


def in_sentences(command: Callable[[], object]) -> None:
    """Run a command; whatever goes wrong is a sentence, a traceback only with CROPCHECK_LOG=DEBUG.

    Exit code 2 is for what the user can mend, 1 for a fault of cropcheck, 130 or 143 for a stop from outside.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    signal.signal(signal.SIGTERM, _stop)
    level = _set_up_logging()
    try:
        command()
    except KeyboardInterrupt:
        typer.secho("stopped; run the same command again to resume.", err=True)
        sys.exit(130)
    except Exception as error:
        if level <= logging.DEBUG:
            traceback.print_exc()
        sentence, status = sentence_of(error)
        typer.secho(f"error: {sentence}", err=True, fg=typer.colors.RED)
        sys.exit(status)


def _stop(*_: object) -> None:
    """End on SIGTERM as on a key press: temporary files go, what is finished stays."""
    typer.secho("stopped; run the same command again to resume.", err=True)
    sys.exit(143)


def _set_up_logging() -> int:
    """Log to standard error at the level that CROPCHECK_LOG names; libraries' warnings only below WARNING."""
    named = os.environ.get("CROPCHECK_LOG", "WARNING").upper()
    level = logging.getLevelNamesMapping().get(named)
    if level is None:
        typer.secho(f"error: CROPCHECK_LOG is {named!r}; write DEBUG, INFO, WARNING or ERROR.", err=True)
        sys.exit(TO_MEND)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    if level >= logging.WARNING:
        for name in ("py.warnings", *NOISY):
            logging.getLogger(name).setLevel(logging.ERROR)
    return level
