"""What is done with slices once they are cut: two cuts crossed, small slices put together.

Shapes: N labelled rows.
"""

from dataclasses import replace

import numpy as np

from recsys.metric import Sample
from recsys.report._slicing import PARTS, Slicing

AXES = ("query", "item", "label")  # a cross is of the last of its two


def crossed(cuts: tuple[Slicing, ...], crosses: list[list[str]]) -> list[Slicing]:
    """One slicing per pair of cuts. Raises ValueError for a cut that is not there."""
    known, made = {cut.column: cut for cut in cuts}, []
    for one, other in crosses:
        if missing := [name for name in (one, other) if name not in known]:
            raise ValueError(f"cannot cross {one} and {other}: no cut by {missing[0]}; there are {sorted(known)}")
        first, second = known[one], known[other]
        code_N = first.value_N * len(second.values) + second.value_N
        present, value_N = np.unique(code_N, return_inverse=True)
        names = [f"{first.values[c // len(second.values)]} × {second.values[c % len(second.values)]}" for c in present]
        axis = max(first.axis, second.axis, key=AXES.index)
        note = " ".join(cut.note for cut in (first, second) if cut.note)
        made.append(Slicing(column=f"{one} × {other}", axis=axis, values=tuple(names), value_N=value_N, note=note))
    return made


def merged(cut: Slicing, sample: Sample, min_queries: int, name: str) -> Slicing:
    """The slices of at least so many queries, the others as one of this name, or left out if that is still too small:
    `value_N` of what is left out lies beyond `values`. Head, torso and tail stay, being what is compared."""
    if set(cut.values) <= set(PARTS):
        return cut
    counted = sample.weight_N > 0
    pairs_2 = np.unique(np.stack([cut.value_N[counted], sample.query_N[counted]]), axis=1)
    small_V = np.bincount(pairs_2[0], minlength=len(cut.values)) < min_queries
    if name in cut.values and small_V.any():
        small_V[cut.values.index(name)] = True
    new_V = np.where(small_V, int((~small_V).sum()), np.cumsum(~small_V) - 1)
    values = [value for value, small in zip(cut.values, small_V, strict=True) if not small]
    together = np.unique(pairs_2[1][small_V[pairs_2[0]]])
    values += [name] if len(together) >= max(min_queries, 1) else []
    return replace(cut, values=tuple(values), value_N=new_V[cut.value_N])
