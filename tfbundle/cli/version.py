"""What ``--version`` prints."""

from __future__ import annotations

import platform

import tfbundle

_PACKAGES = (
    "numpy",
    "protobuf",
    "crc32c",
    "ml_dtypes",
    "cramjam",
    "tqdm",
    "shtab",
    "safetensors",
    "fsspec",
    "distributed",
)


def version_text() -> str:
    r"""Return the version, and in a second line what a report of a bug should say; imports none of the packages.

    Example:
        >>> version_text().startswith(f"tfbundle {tfbundle.__version__}\n")
        True
    """
    python = f"{platform.python_implementation()} {platform.python_version()}"
    packages = [f"{package} {found}" for package in _PACKAGES if (found := _find_version(package))]
    machine = f"{platform.system()} {platform.machine()}"
    return f"tfbundle {tfbundle.__version__}\n{', '.join([python, *packages, machine])}\n"


def _find_version(package: str) -> str:
    """Return the version of a package, nothing where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""
