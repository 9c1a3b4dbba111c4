"""Deciding what becomes of each tensor where the result is to be like a template."""

from __future__ import annotations

from collections.abc import Iterator

from tfbundle.bundle.reader import BundleReader
from tfbundle.bundle.template import read_template
from tfbundle.choosing.decisions import NOT_LIKE, Decision, Decisions
from tfbundle.choosing.like import match_template
from tfbundle.choosing.names import TensorNames
from tfbundle.choosing.naming import Naming
from tfbundle.choosing.rename import Renaming, rename_tensors
from tfbundle.format.dtypes import named_data_type


def decide_like(bundle: BundleReader, names: TensorNames, naming: Naming, template: str) -> Decisions:
    """Decide about the tensors of a bundle so that the result holds what a template wants, and nothing else.

    Args:
        bundle: the source.
        names: of its tensors.
        naming: what they are called when they are compared with the template.
        template: path of a checkpoint or of a graph.

    Raises:
        BundleNotFoundError, FormatError, UnsupportedError: the template cannot be read.
        ValueError: the source lacks what the template wants, or new names collide.
    """
    renaming = Renaming({}, {}, {}) if naming.changes_nothing else rename_tensors(names, naming)
    kinds = {
        renaming.names.get(name, name): (kind.dtype, kind.shape)
        for name, kind in bundle.list_tensors().iter_kinds()
        if name not in renaming.left_out
    }
    match = match_template(kinds, read_template(template, bundle.storage))
    match.check(bundle.prefix, template)

    def decide() -> Iterator[Decision]:
        for name, kind in bundle.list_tensors().iter_kinds():
            target = match.targets.get(renaming.names.get(name, name))
            if name in renaming.left_out:
                yield Decision("drop", renaming.left_out[name])
            elif target is None:
                yield Decision("drop", NOT_LIKE)
            elif target == kind.dtype:
                yield Decision("copy", target)
            else:
                yield Decision("cast", kind.dtype, named_data_type(target).number)

    return Decisions.of(decide())
