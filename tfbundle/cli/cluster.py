"""``--dask``: the workers of a cluster do the work."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import tfbundle
from tfbundle.errors import UnsupportedError

if TYPE_CHECKING:
    from tfbundle.streaming.run import RunOptions

_PATIENCE_SECONDS = 10


@contextmanager
def on_cluster(run: RunOptions, options: argparse.Namespace) -> Iterator[RunOptions]:
    """Give run options whose executor is the cluster that the command line names, if it names one, while a block runs.

    Raises:
        UnsupportedError: the package for it is missing, or a worker lacks this one.
        OSError: no scheduler answers, or it has no workers.
    """
    if not options.dask or run.dry_run:
        yield run
        return
    from tfbundle.streaming.elsewhere import DEFAULT_NUM_WORKERS

    with _connect(options.dask) as client:
        num_workers = max(DEFAULT_NUM_WORKERS, _count_workers(client, options.dask))  # others may join them
        with client.get_executor() as executor:
            yield replace(run, executor=executor, jobs=num_workers)


def _import_distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise UnsupportedError(f"--dask needs a package: pip install 'tfbundle[dask]' ({error})") from error


def _connect(address: str) -> Any:
    distributed = _import_distributed()
    for name in list(logging.root.manager.loggerDict):  # each has a level of its own
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it, we tell ourselves
    try:
        distributed.comm.resolve_address(address)  # which a client that has begun does not survive
        return distributed.Client(address, timeout=_PATIENCE_SECONDS, set_as_default=False)
    except (OSError, ValueError, distributed.TimeoutError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address}: {error}") from error


def _count_workers(client: Any, address: str) -> int:
    """Return how many steps the workers do at a time; all must have this package."""
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
    except _import_distributed().TimeoutError as error:
        raise ConnectionError(f"the Dask scheduler at {address} has no workers; dask worker starts one") from error
    for worker, version in client.run(installed_version, on_error="return").items():
        if version != tfbundle.__version__:
            found = f"another tfbundle ({version})" if isinstance(version, str) else f"no tfbundle ({version})"
            raise UnsupportedError(f"the worker at {worker} has {found}; all need {tfbundle.__version__}")
    return sum(client.nthreads().values())


def installed_version() -> str:
    """Return the version of this package, where it is called."""
    return tfbundle.__version__
