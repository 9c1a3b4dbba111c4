"""Which names of TensorFlow are stood in for, and by what: one row for each set of modules that share them.

A row holds the paths of the modules below ``tensorflow`` (``.`` is TensorFlow itself), the module beside this one where
the names are at home, and the names; ``Public=name`` where it has another name there.
"""

from __future__ import annotations

from typing import NamedTuple

from tfbundle.compat.op_errors import CODES, OpError

ALIASES = ("compat.v1", "compat.v2", "_api.v2")
"""Paths at which all of it is found once more."""

ABSENT = ("contrib", "models", "examples", "addons")
"""What TensorFlow 2 has no more, so that scripts that try it first go on as they do there; but for what is in a row."""


class Home(NamedTuple):
    """Where a name is at home.

    Attributes:
        module: beside this one.
        name: in it.
    """

    module: str
    name: str


_READING = "list_variables load_checkpoint load_variable checkpoints_iterator"
_STATES = "get_checkpoint_state latest_checkpoint checkpoint_exists get_checkpoint_mtimes"
_ERRORS = [cls.__name__ for child in OpError.__subclasses__() for cls in child.__subclasses__()]
_FILES_1 = (
    "Copy=copy DeleteRecursively=rmtree Exists=exists Glob=glob IsDirectory=isdir ListDirectory=listdir "
    "MakeDirs=makedirs MkDir=mkdir Remove=remove Rename=rename Stat=stat Walk=walk_in_order"
)
_FILES_2 = "copy exists glob isdir join listdir makedirs mkdir remove rename rmtree stat walk"
_FILES_IO = (
    "copy copy_v2=copy create_dir=mkdir delete_file=remove delete_recursively=rmtree file_exists=exists "
    "file_exists_v2=exists get_matching_files=glob get_matching_files_v2=glob is_directory=isdir "
    "is_directory_v2=isdir join list_directory=listdir list_directory_v2=listdir recursive_create_dir=makedirs rename "
    "stat walk=walk_in_order"
)
_LOGGING = (
    "DEBUG INFO WARN ERROR FATAL debug info warn=warning warning error fatal log log_if vlog get_verbosity "
    "set_verbosity TaskLevelStatusMessage=error"
)
_TEXT = "as_bytes as_str as_str_any as_text path_to_str bytes_or_text_types complex_types integral_types real_types"
_SWITCHES = (
    "disable_control_flow_v2 disable_resource_variables disable_v2_behavior=disable_eager_execution "
    "disable_v2_tensorshape enable_control_flow_v2 enable_resource_variables "
    "enable_v2_behavior=enable_eager_execution enable_v2_tensorshape reset_default_graph set_random_seed"
)
_DEVICES = "list_logical_devices=list_nothing list_physical_devices=list_nothing set_visible_devices=do_nothing"

ROWS: tuple[tuple[str, str, str], ...] = (
    ("train python.training.checkpoint_utils", "checkpoints", _READING),
    ("contrib.framework contrib.framework.python.framework.checkpoint_utils", "checkpoints", _READING),
    ("python.training.checkpoint_utils", "checkpoints", "wait_for_new_checkpoint"),
    (
        "train python.training.py_checkpoint_reader python.pywrap_tensorflow pywrap_tensorflow",
        "reader",
        "NewCheckpointReader",
    ),
    ("python.training.py_checkpoint_reader python.pywrap_tensorflow pywrap_tensorflow", "reader", "CheckpointReader"),
    (
        "train python.checkpoint.checkpoint_management python.training.checkpoint_management python.training.saver",
        "states",
        _STATES,
    ),
    ("errors python.framework.errors python.framework.errors_impl", "op_errors", " ".join(["OpError", *_ERRORS])),
    (
        "errors python.framework.errors python.framework.errors_impl",
        "op_errors",
        f"OperatorNotAllowedInGraphError {' '.join(CODES)} error_code_from_exception_type "
        "exception_type_from_error_code",
    ),
    (". dtypes python.framework.dtypes", "dtypes", "DType as_dtype QUANTIZED_DTYPES double half"),
    ("io.gfile", "gfile", _FILES_2),
    ("gfile python.platform.gfile", "gfile", _FILES_1),
    ("io.gfile gfile python.platform.gfile", "opened_files", "GFile"),
    ("gfile python.platform.gfile", "opened_files", "FastGFile=GFile Open=GFile"),
    ("python.lib.io.file_io", "gfile", _FILES_IO),
    ("python.lib.io.file_io", "opened_files", "FileIO=GFile"),
    ("logging python.platform.tf_logging", "log_messages", _LOGGING),
    (". python.platform.tf_logging", "log_messages", "get_logger"),
    ("compat python.util.compat", "text", _TEXT),
    ("python.util.compat", "text", "path_to_bytes"),
    ("app python.platform.app", "command_flags", "run"),
    ("version", "versions", "VERSION GIT_VERSION COMPILER_VERSION"),
    (".", "versions", "__version__=VERSION VERSION GIT_VERSION COMPILER_VERSION"),
    (".", "op_errors", "OpError"),
    (".", "switches", "device enable_eager_execution disable_eager_execution executing_eagerly"),
    (".", "switches", " ".join(f"{name}=do_nothing" if "=" not in name else name for name in _SWITCHES.split())),
    ("random", "switches", "set_seed=do_nothing set_random_seed=do_nothing"),
    ("autograph", "switches", "set_verbosity=do_nothing"),
    ("config config.experimental", "switches", _DEVICES),
    ("config.experimental", "switches", "set_memory_growth=do_nothing"),
    (
        "config.threading",
        "switches",
        "set_inter_op_parallelism_threads=do_nothing set_intra_op_parallelism_threads=do_nothing",
    ),
    ("test", "switches", "is_gpu_available is_built_with_cuda=is_gpu_available"),
)

DELEGATED = {"flags": "command_flags", "app.flags": "command_flags", "python.platform.flags": "command_flags"}
"""Modules whose every name another module looks up."""


def _dtype_rows() -> list[tuple[str, str, str]]:
    from tfbundle.compat.dtypes import EXPERIMENTAL_NAMES, NAMES  # imports numpy, which a script may prepare for

    return [
        (". dtypes python.framework.dtypes", "dtypes", " ".join(NAMES)),
        ("dtypes.experimental experimental python.framework.dtypes", "dtypes", " ".join(EXPERIMENTAL_NAMES)),
    ]


def read_table() -> dict[str, dict[str, Home]]:
    """Return the names of each module, by its path, and where they are at home.

    Example:
        >>> read_table()["gfile"]["Exists"]
        Home(module='gfile', name='exists')
    """
    table: dict[str, dict[str, Home]] = {"": {}}
    for paths, module, names in [*ROWS, *_dtype_rows()]:
        for path in paths.split():
            found = table.setdefault("" if path == "." else path, {})
            for word in names.split():
                public, _, name = word.partition("=")
                found[public] = Home(module, name or public)
    return table
