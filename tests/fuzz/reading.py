"""All ways to read a checkpoint and to make another of it, held against each other."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tfbundle
from tests.fuzz.scratch import whole_or_nothing
from tests.fuzz.target import check_message
from tests.support.handmade import all_below, numpy_cast
from tfbundle import BundleError, BundleReader, CastPolicy, RunOptions, Selection
from tfbundle.cli import main
from tfbundle.errors import BundleNotFoundError, FormatError, UnsupportedError
from tfbundle.format.naming import key_to_name, name_to_key
from tfbundle.format.ordered_code import decode_slice_name

_ALONE = RunOptions(jobs=1)
_DRY = RunOptions(jobs=1, dry_run=True)
_EVERYTHING = Selection(optimizer="cast")
_MOST_READS = 12


@dataclass
class Contents:
    """What a checkpoint gives: arrays, and errors of tensors that cannot be read, by name."""

    values: dict[str, NDArray[Any]]
    errors: dict[str, BundleError]


def read_contents(bundle: BundleReader) -> Contents:
    """Read every tensor."""
    found = Contents({}, {})
    for name in bundle:
        try:
            found.values[name] = bundle[name]
        except BundleError as error:  # noqa: PERF203 for each on its own
            check_message(error)
            found.errors[name] = error
    return found


def same_bits(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Tell whether two arrays hold the same."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return bool(left.tolist() == right.tolist() if left.dtype == object else left.tobytes() == right.tobytes())


def check_descriptions(bundle: BundleReader, found: Contents) -> None:
    """Compare arrays with what the index says of them, one by one and all together."""
    try:
        listing = bundle.list_tensors()
    except FormatError:
        assert found.errors, "what can be read cannot be listed"
        return
    kinds = dict(listing.iter_kinds())
    assert list(kinds) == list(bundle)
    for name, kind in kinds.items():
        info = bundle.entries[name]
        assert (info.dtype, info.shape, info.nbytes) == (kind.dtype, kind.shape, kind.nbytes), f"{name!r} listed"
        if name in found.values:
            assert found.values[name].shape == info.shape


def check_parts(bundle: BundleReader, found: Contents) -> None:
    """Compare parts of arrays with the same parts that are read alone."""
    for name, value in list(found.values.items())[:_MOST_READS]:
        if value.ndim and value.size:
            wheres: list[Any] = [0, -1, (..., slice(None, None, -2)), (slice(1, None),)]
            for where in wheres:
                part = np.asarray(value[where], value.dtype)
                assert same_bits(np.asarray(bundle.read(name, where)), part), f"a part of {name!r}"
        assert name in bundle
        if value.dtype != object:  # of strings TensorFlow, and so ``read``, takes more than may be copied
            bundle.check_payload(name)


def check_verdict(prefix: str, bundle: BundleReader, found: Contents) -> bool:
    """Check that what ``verify`` calls sound can be read, and the other way round; return what it says."""
    report = tfbundle.verify(prefix)
    if report.ok:
        assert all(isinstance(error, UnsupportedError) for error in found.errors.values()), f"sound? {found.errors}"
        assert report.num_tensors == len(bundle)
    damaged = {damage.tensor for damage in report.damages if damage.kind != "FormatError"}
    assert not damaged & set(found.values), f"damaged, but read: {damaged & set(found.values)}"
    return report.ok


def has_gaps(prefix: str) -> bool:
    """Tell whether slices do not make up their tensor; what does not put them together leaves them as they are."""
    return any("Does not have sufficient slices" in damage.message for damage in tfbundle.verify(prefix).damages)


def check_halved(prefix: str, folder: Path, found: Contents, *, sound: bool) -> str | None:
    """Halve a checkpoint; return the prefix of the result, None where it is refused."""
    target = str(folder / "halved" / "m")
    policy = CastPolicy(on_overflow="inf")
    for options in (_DRY, _ALONE):
        try:
            with whole_or_nothing(folder):
                tfbundle.halve(prefix, target, selection=_EVERYTHING, policy=policy, options=options)
        except (UnsupportedError, BundleNotFoundError):
            return None
        except BundleError as error:
            assert not sound or _concerns_more(error), f"sound, but not halved: {error}"
            return None
        if options.dry_run:
            assert all_below(folder) == [], "a dry run wrote something"
    assert sound, "damaged, but halved"
    assert tfbundle.verify(target).ok, "halved, and damaged"
    with tfbundle.open(target) as halved:
        assert set(halved) == {*found.values, *found.errors}
        for name, value in found.values.items():
            _check_cast(name, value, halved[name])
    return target


def _check_cast(name: str, before: NDArray[Any], after: NDArray[Any]) -> None:
    if before.dtype != np.float32:
        assert same_bits(before, after), f"{name!r} was not copied"
        return
    expected = numpy_cast(before)
    assert (after.dtype, after.shape) == (expected.dtype, expected.shape), f"{name!r} was not cast"
    wrong = (after.view(np.uint16) != expected.view(np.uint16)) & ~(np.isnan(after) & np.isnan(expected))
    assert not wrong.any(), f"{name!r} was cast to other values than numpy casts it to"


def _concerns_more(error: BundleError) -> bool:
    """Tell whether an error is about more than checksums, which are all that makes a checkpoint sound.

    An object graph may be none, and two inputs of a merge may differ in byte order or version.
    """
    text = str(error)
    return "Merging bundles with " in text or "object graph" in text or "TrackableObjectGraph" in text


def check_stats(prefix: str, *, sound: bool) -> None:
    """Look at the numbers of a checkpoint."""
    try:
        report = tfbundle.stats(prefix, selection=_EVERYTHING, options=_ALONE)
    except (UnsupportedError, BundleNotFoundError):
        return
    except BundleError as error:
        assert not sound or _concerns_more(error), f"sound, but without numbers: {error}"
        return
    assert report.totals.elements >= 0


def check_salvaged(prefix: str, folder: Path, found: Contents | None, *, sound: bool) -> None:
    """Save what is sound of a bundle, and compare it with what could be read."""
    target = str(folder / "salvaged" / "m")
    try:
        with whole_or_nothing(folder / "salvaged"):
            report = tfbundle.salvage(prefix, target, options=_ALONE)
    except (UnsupportedError, BundleNotFoundError):
        return
    except BundleError as error:
        assert not (sound and found and found.values), f"sound, but not saved: {error}"
        return
    assert report.ok or not sound, "sound, but something was lost"
    assert tfbundle.verify(target).ok, "saved, and damaged"
    with tfbundle.open(target) as saved:
        after = read_contents(saved)
    assert all(isinstance(error, UnsupportedError) for error in after.errors.values())
    if found is None:
        return
    for name, value in after.values.items():
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            assert name in found.values, f"{name!r} was saved, but cannot be read"
            assert same_bits(value, found.values[name]), f"{name!r} was saved as something else"
    lost = {damage.tensor for damage in report.lost}
    for name in found.values.keys() - after.values.keys() - lost:
        owner: bytes | None = name_to_key(name)
        while owner is not None and key_to_name(owner) not in lost:
            owner = decode_slice_name(owner)
        assert owner, f"{name!r} was lost without a word"
    if report.ok:
        assert tfbundle.diff(prefix, target).equal, "saved, and different"


def check_compared(left: str, right: str) -> None:
    """Compare a checkpoint with itself and with another."""
    assert tfbundle.diff(left, left).equal, "different from itself"
    assert not tfbundle.diff(left, right).only_left


def check_blended(prefix: str, other: str, folder: Path, found: Contents, *, sound: bool) -> None:
    """Average a checkpoint with itself, and merge it with another of other names."""
    mean = _written(
        lambda target: tfbundle.average([prefix, prefix], target, options=_ALONE), folder / "mean", sound=sound
    )
    for name, value in mean.items():
        before = found.values.get(name)
        if before is not None and value.dtype.kind == "f":
            with np.errstate(all="ignore"):
                is_same = (value == before) | np.isnan(before) | ~np.isfinite(before * 2)
            assert is_same.all(), f"the mean of {name!r} and itself is something else"
        elif before is not None and value.dtype.kind in "iuO":
            assert same_bits(value, before), f"{name!r} was not copied to the mean"
    both = _written(
        lambda target: tfbundle.merge([prefix, other], target, options=_ALONE), folder / "both", sound=sound
    )
    for name, value in both.items():
        expected = found.values.get(name)
        assert expected is None or same_bits(value, expected), f"{name!r} was merged as something else"
    assert not both or {*found.values} <= {*both}, "lost in a merge"


def _written(write: Callable[[str], object], folder: Path, *, sound: bool) -> dict[str, NDArray[Any]]:
    """Let something be written; return what it holds, nothing where it was refused."""
    target = str(folder / "m")
    try:
        with whole_or_nothing(folder):
            write(target)
    except (UnsupportedError, BundleNotFoundError):
        return {}
    except BundleError as error:
        check_message(error)
        assert not sound or _concerns_more(error), f"sound, but refused: {error}"
        return {}
    assert sound, "damaged, but taken"
    assert tfbundle.verify(target).ok, "written, and damaged"
    with tfbundle.open(target) as bundle:
        return read_contents(bundle).values


def check_commands(prefix: str, found: Contents, *, sound: bool) -> None:
    """Run commands that print; each ends with a status that says what is wrong with the files, if anything is."""
    for arguments in (["ls"], ["ls", "--json"], ["ls", "--tree"], ["verify"], ["verify", "--json"]):
        status, printed = _run([*arguments, prefix])
        assert status in (0, 1, 3, 4, 5), f"{arguments} ends with {status}: {printed[:200]}"
        assert arguments[0] != "verify" or (status == 0) == sound, "the command verify and the function disagree"
        if status in (0, 1) and "--json" in arguments:
            assert printed.isascii()
            json.loads(printed)
    for name in list(found.values)[:3]:
        status, printed = _run(["show", prefix, "--", name])
        assert status == 0, f"{name!r} can be read, but not shown: {printed[:200]}"


def _run(arguments: list[str]) -> tuple[int, str]:
    """Run a command; return its status and what it printed."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = main(arguments)
    output.seek(0)
    printed = output.read()
    assert printed.replace("\n", "").isprintable(), "more than text is printed"
    return status, printed
