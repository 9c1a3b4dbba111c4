"""The process in which atheris runs a target: ``python -m tests.fuzz.worker TARGET [libFuzzer's arguments]``."""

from __future__ import annotations

import pkgutil
import random
import sys
from importlib import import_module


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tfbundle"]):
        import tfbundle

        for module in pkgutil.walk_packages(tfbundle.__path__, "tfbundle."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    from tests.fuzz.targets import find_target

    target = find_target(sys.argv[1])

    def mutate(data: bytes, max_nbytes: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.25:
            data = bytes(atheris.Mutate(data, max_nbytes))
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = target.mutate(data, rng)
        return data[:max_nbytes]

    def test(data: bytes) -> None:
        target.check_within_limits(bytes(data), quick=True)

    command = f"{sys.executable} -m tests.fuzz.worker {target.name}"  # which libFuzzer starts again for a merge
    atheris.Setup([command, *sys.argv[2:]], test, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
