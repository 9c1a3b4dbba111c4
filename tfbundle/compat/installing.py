"""Letting ``import tensorflow`` mean the stand-in, within this process and until it is taken back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from tfbundle.compat.modules import NAME, StandIn, is_absent, module_at


class _Loader(Loader):
    """Gives the import system a module that is there already."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return it."""
        self._module = module_at(spec.name.partition(".")[2])
        self._spec = self._module.__spec__
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Let it keep its own specification, whatever the name it was imported by."""
        module.__spec__ = self._spec


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find TensorFlow and everything below it, but for what TensorFlow has no more."""
        del path, target
        name, _, rest = fullname.partition(".")
        if name != NAME or (rest and is_absent(rest)):
            return None
        return ModuleSpec(fullname, _Loader(), is_package=True)


_FINDER = _Finder()


def install(*, hide_tensorflow: bool = False) -> None:
    """Let ``import tensorflow`` mean the stand-in from now on. Harmless when repeated.

    Args:
        hide_tensorflow: do so even where TensorFlow is installed.

    Raises:
        ValueError: TensorFlow is installed, or is imported already, which nothing can undo.

    Example:
        >>> import subprocess, sys
        >>> code = "from tfbundle.compat import install; install(hide_tensorflow=True); import tensorflow as tf"
        >>> subprocess.run([sys.executable, "-c", f"{code}; print(tf.int8)"], capture_output=True).stdout.strip()
        b"<dtype: 'int8'>"
    """
    if is_installed():
        return
    if sys.modules.get(NAME) is not None:
        raise ValueError("TensorFlow is imported already; install the stand-in before that, or do without")
    if not hide_tensorflow and (place := find_tensorflow()):
        raise ValueError(f"TensorFlow is installed in {place}; hide it with hide_tensorflow=True, or use it")
    sys.modules.pop(NAME, None)  # None says that it cannot be imported
    sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Let ``import tensorflow`` mean what it meant before; modules that have it keep it. Harmless when repeated."""
    if is_installed():
        sys.meta_path.remove(_FINDER)
    for name in [name for name, module in sys.modules.items() if isinstance(module, StandIn)]:
        del sys.modules[name]


def is_installed() -> bool:
    """Tell whether ``import tensorflow`` means the stand-in."""
    return _FINDER in sys.meta_path


def find_tensorflow() -> str | None:
    """Return where TensorFlow itself is installed, None if it is not."""
    spec = PathFinder.find_spec(NAME)
    return None if spec is None else spec.origin  # None of a directory that merely has the name
