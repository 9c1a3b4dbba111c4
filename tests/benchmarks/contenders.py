"""What is run, as command lines.

``{python}`` stands for this interpreter, ``{source}`` and ``{target}`` for prefixes, ``{folder}`` for the directory of
the target.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.processes import BARE_IMPORTS


@dataclass(frozen=True)
class Contender:
    """A command that takes its turn in every round.

    Attributes:
        name: how reports call it.
        command: its words, with names in braces to be filled in.
        needs: a module without which it is left out.
        slow: takes so long that it runs in the first rounds only.
        reports: prints as its last line the seconds that count, instead of those of the whole process.
    """

    name: str
    command: tuple[str, ...]
    needs: str = ""
    slow: bool = False
    reports: bool = False

    def fill(self, places: Mapping[str, str]) -> list[str]:
        """Return the command line.

        Example:
            >>> Contender("cat", ("cat", "{source}.index")).fill({"source": "w"})
            ['cat', 'w.index']
        """
        return [word.format_map({"python": sys.executable, **places}) for word in self.command]


_TFBUNDLE = ("{python}", "-m", "tfbundle")
_HALVE = (*_TFBUNDLE, "halve", "{source}", "{target}", "--quiet")


def _script(text: str) -> tuple[str, ...]:
    return "{python}", "-c", text, "{source}"


def _route(module: str, *words: str) -> tuple[str, ...]:
    return "{python}", "-m", f"tests.benchmarks.{module}", *words, "{source}", "{target}"


CP = Contender("cp", ("cp", "{source}.index", "{source}.data-00000-of-00001", "{folder}"))
NOTHING = Contender("nothing", _script("pass"))
IMPORTS = Contender("bare imports", _script(BARE_IMPORTS))

HALVE_1 = Contender("halve --jobs 1", (*_HALVE, "--jobs", "1"))
HALVE_2 = Contender("halve --jobs 2", (*_HALVE, "--jobs", "2"))
CAST_1 = Contender("halve --optimizer cast --jobs 1", (*_HALVE, "--optimizer", "cast", "--jobs", "1"))
CAST_2 = Contender("halve --optimizer cast --jobs 2", (*_HALVE, "--optimizer", "cast", "--jobs", "2"))
ASTYPE = Contender("plain astype pipeline", _route("route_astype"))

_TF = "tensorflow"
TF_RESTORE = Contender("TF RestoreV2, tf.cast", _route("route_tensorflow", "restore"), _TF, slow=True)
TF_LOAD = Contender("TF load_checkpoint, tf.cast", _route("route_tensorflow", "load"), _TF, slow=True)
TF_NUMPY = Contender("TF load_checkpoint, astype", _route("route_tensorflow", "numpy"), _TF, slow=True)
READER = Contender(
    "tensorflow-checkpoint-reader",
    _route("route_reader"),
    "tensorflow_checkpoint_reader.py_checkpoint_reader",
    slow=True,
)

_EXPORT = (*_TFBUNDLE, "export", "{source}")
EXPORT_SAFETENSORS = Contender("export .safetensors", (*_EXPORT, "{target}.safetensors", "--quiet", "--jobs", "1"))
EXPORT_SAFETENSORS_2 = Contender(
    "export .safetensors --jobs 2", (*_EXPORT, "{target}.safetensors", "--quiet", "--jobs", "2")
)
EXPORT_NPZ = Contender("export .npz", (*_EXPORT, "{target}.npz", "--quiet", "--jobs", "1"))
TF_SAFETENSORS = Contender("TF load_checkpoint, safetensors", _route("route_safetensors"), _TF, slow=True)

IMPORT_TFBUNDLE = Contender("import tfbundle", _script("import tfbundle"))
IMPORT_HALVE = Contender("import tfbundle, open, halve", _script("import tfbundle; tfbundle.open; tfbundle.halve"))
HELP = Contender("tfbundle --help", (*_TFBUNDLE, "--help"))

LOOKUP_NAME = "model/layer_0000/block_00/attention/self/query/kernel_000000"
LS = Contender("tfbundle ls", (*_TFBUNDLE, "ls", "{source}"))
VERIFY = Contender("tfbundle verify", (*_TFBUNDLE, "verify", "{source}"))
LOOK_UP = Contender(
    "open, look up a name",
    _script(
        "import sys, tfbundle; bundle = tfbundle.open(sys.argv[1]); "
        f"name = {LOOKUP_NAME!r}; assert name in bundle; bundle.entries[name]"
    ),
)
TF_LIST = Contender(
    "TF list_variables, without import",
    _script(
        "import sys, time, tensorflow; start = time.perf_counter(); "
        "tensorflow.train.list_variables(sys.argv[1]); print(time.perf_counter() - start)"
    ),
    _TF,
    slow=True,
    reports=True,
)

HALF_CASTER, NUMPY_CAST = "HalfCaster", "astype"
"""The two in ``kernel``, which are no processes."""

HALVE_STEP, COPY_STEP, SURVEY_STEP = "a step that halves", "a step that copies", "a step of stats --counts"
READ_PART, CRC_PART, CAST_PART = "read", "crc32c", "cast to float16"
WRITE_PART, READ_BACK_PART = "write", "read back and compare"
"""Those in ``bytes``: whole steps, and their parts, of which the last two see half of the bytes when a step halves."""

OPEN_INDEX, PLAN_ALL, CUT_STEPS = "open the index", "decide and plan", "cut into steps"
ENTER_RESULTS, WRITE_INDEX = "enter results", "encode the index"
"""Those in ``tensors``."""

THREAD_TASK, PROCESS_TASK, DASK_TASK = "ThreadPoolExecutor", "ProcessPoolExecutor", "Dask"
HERE_1, ON_1, ON_2 = "halve, --jobs 1", "halve, one Dask worker", "halve, two Dask workers"
"""Those in ``workers``."""
