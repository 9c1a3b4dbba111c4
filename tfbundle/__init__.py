"""Read, write and halve TensorFlow checkpoints without TensorFlow.

Layers, each importing only from those below it::

    cli, __main__
    compat
    conversion   blending   audit   exporters
    reporting
    streaming
    choosing
    bundle   graph
    format
    sstable   casting   storage   pb
    errors

``errors``, ``sstable``, ``format``, ``graph`` and ``casting`` work on bytes and arrays alone; only ``storage`` touches
the operating system. The public names are imported when they are first used, so that ``import tfbundle`` costs
next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfbundle.audit.diff import diff as diff
    from tfbundle.audit.differences import DiffOptions as DiffOptions
    from tfbundle.audit.differences import DiffReport as DiffReport
    from tfbundle.audit.finish import FinishReport as FinishReport
    from tfbundle.audit.finish import finish as finish
    from tfbundle.audit.verify import VerifyReport as VerifyReport
    from tfbundle.audit.verify import verify as verify
    from tfbundle.blending.average import AverageReport as AverageReport
    from tfbundle.blending.average import average as average
    from tfbundle.blending.replace import ReplaceReport as ReplaceReport
    from tfbundle.blending.replace import replace_tensor as replace_tensor
    from tfbundle.bundle.locate import latest as latest
    from tfbundle.bundle.opening import load as load
    from tfbundle.bundle.opening import open_bundle as _open_bundle
    from tfbundle.bundle.reader import BundleReader as BundleReader
    from tfbundle.bundle.reader import TensorInfo as TensorInfo
    from tfbundle.bundle.state_file import get_checkpoint_state as get_checkpoint_state
    from tfbundle.bundle.writer import BundleWriter as BundleWriter
    from tfbundle.bundle.writer import create_bundle as _create_bundle
    from tfbundle.bundle.writer import save as save
    from tfbundle.casting.policy import CastPolicy as CastPolicy
    from tfbundle.casting.stats import CastStats as CastStats
    from tfbundle.choosing.naming import Naming as Naming
    from tfbundle.choosing.select import Selection as Selection
    from tfbundle.conversion.cast import cast as cast
    from tfbundle.conversion.halve import halve as halve
    from tfbundle.conversion.merge import MergeReport as MergeReport
    from tfbundle.conversion.merge import merge as merge
    from tfbundle.conversion.salvage import SalvageReport as SalvageReport
    from tfbundle.conversion.salvage import salvage as salvage
    from tfbundle.conversion.survey import stats as stats
    from tfbundle.errors import BundleError as BundleError
    from tfbundle.errors import BundleExistsError as BundleExistsError
    from tfbundle.errors import BundleNotFoundError as BundleNotFoundError
    from tfbundle.errors import CastError as CastError
    from tfbundle.errors import ChecksumError as ChecksumError
    from tfbundle.errors import FormatError as FormatError
    from tfbundle.errors import TensorNotFoundError as TensorNotFoundError
    from tfbundle.errors import TruncatedError as TruncatedError
    from tfbundle.errors import UnsupportedError as UnsupportedError
    from tfbundle.exporters.export import ExportReport as ExportReport
    from tfbundle.exporters.export import export as export
    from tfbundle.exporters.import_tensors import ImportReport as ImportReport
    from tfbundle.exporters.import_tensors import import_tensors as import_tensors
    from tfbundle.exporters.incoming import ImportOptions as ImportOptions
    from tfbundle.exporters.request import ExportOptions as ExportOptions
    from tfbundle.format.state import CheckpointState as CheckpointState
    from tfbundle.reporting.report import CastReport as CastReport
    from tfbundle.streaming.layout import Layout as Layout
    from tfbundle.streaming.run import RunOptions as RunOptions

    open = _open_bundle
    create = _create_bundle

__version__ = "0.1.0"

_HOMES = {
    "audit.diff": ("diff",),
    "audit.differences": ("DiffOptions", "DiffReport"),
    "audit.finish": ("FinishReport", "finish"),
    "audit.verify": ("VerifyReport", "verify"),
    "blending.average": ("AverageReport", "average"),
    "blending.replace": ("ReplaceReport", "replace_tensor"),
    "bundle.locate": ("latest",),
    "bundle.opening": ("load", "open=open_bundle"),
    "bundle.reader": ("BundleReader", "TensorInfo"),
    "bundle.state_file": ("get_checkpoint_state",),
    "bundle.writer": ("BundleWriter", "create=create_bundle", "save"),
    "casting.policy": ("CastPolicy",),
    "casting.stats": ("CastStats",),
    "choosing.naming": ("Naming",),
    "choosing.select": ("Selection",),
    "conversion.cast": ("cast",),
    "conversion.halve": ("halve",),
    "conversion.merge": ("MergeReport", "merge"),
    "conversion.salvage": ("SalvageReport", "salvage"),
    "conversion.survey": ("stats",),
    "errors": (
        "BundleError",
        "BundleExistsError",
        "BundleNotFoundError",
        "CastError",
        "ChecksumError",
        "FormatError",
        "TensorNotFoundError",
        "TruncatedError",
        "UnsupportedError",
    ),
    "exporters.export": ("ExportReport", "export"),
    "exporters.import_tensors": ("ImportReport", "import_tensors"),
    "exporters.incoming": ("ImportOptions",),
    "exporters.request": ("ExportOptions",),
    "format.state": ("CheckpointState",),
    "reporting.report": ("CastReport",),
    "streaming.layout": ("Layout",),
    "streaming.run": ("RunOptions",),
}
_PUBLIC = {
    public: (module, attribute or public)
    for module, names in _HOMES.items()
    for public, _, attribute in (name.partition("=") for name in names)
}

__all__ = sorted([*_PUBLIC, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
