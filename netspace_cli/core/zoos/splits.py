"""Draw splits for instances of a zoo that have none."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from .zoo import SPLITS, Instance


def draw_splits(count: int, shares: Sequence[int], have: Mapping[str, int], draw: random.Random) -> list[str]:
    """Draw splits for new instances of one architecture, in random order.

    Every split with a share gets an instance where there are as many instances as such splits; where there are
    fewer, train goes before val and val before test, as a space needs them in this order.

    Args:
        count: of the new instances.
        shares: proportions of train, val and test.
        have: the architecture's instances in each split already; the proportions are those of all together.
    """
    wanted = _wanted(count + sum(have.values()), shares)
    need = {split: max(0, wanted.get(split, 0) - have.get(split, 0)) for split in reversed(SPLITS)}
    while sum(need.values()) > count:
        need[max(need, key=lambda split: need[split])] -= 1
    splits = [split for split in SPLITS for _ in range(need[split])]
    draw.shuffle(splits)
    return splits


def splits_by_run(
    runs: Sequence[str], known: Mapping[str, str], shares: Sequence[int], draw: random.Random
) -> list[str]:
    """Draw splits by run: instances of one run share a split, since they are very similar.

    Args:
        runs: that of each new instance; an id of its own where it belongs to none.
        known: the splits of the architecture's runs that have one already.
        shares: proportions of train, val and test, counted in runs.
    """
    new = [run for run in dict.fromkeys(runs) if run not in known]
    drawn = dict(zip(new, draw_splits(len(new), shares, Counter(known.values()), draw), strict=True))
    return [known[run] if run in known else drawn[run] for run in runs]


def _wanted(total: int, shares: Sequence[int]) -> dict[str, int]:
    """Number of instances in each split, `total` together."""
    exact = {s: total * share / sum(shares) for s, share in zip(SPLITS, shares, strict=True) if share}
    if total < len(exact):
        return dict.fromkeys(list(exact)[:total], 1)
    wanted = {split: max(1, int(part)) for split, part in exact.items()}
    while sum(wanted.values()) < total:
        wanted[max(exact, key=lambda split: exact[split] - wanted[split])] += 1
    while sum(wanted.values()) > total:
        wanted[max((s for s in exact if wanted[s] > 1), key=lambda split: wanted[split] - exact[split])] -= 1
    return wanted


def missing_splits(instances: Sequence[Instance], shares: Sequence[int]) -> list[str]:
    """A sentence for each architecture that has no instance in a split with a share."""
    wanted = [split for split, share in zip(SPLITS, shares, strict=True) if share]
    sentences = []
    for arch, count in Counter(i.arch for i in instances).items():
        there = {i.split for i in instances if i.arch == arch}
        missing = [split for split in wanted if split not in there]
        if not missing:
            continue
        few = f"{count} instance{'s are' if count > 1 else ' is'} too few for {_and(wanted)}"
        which = f"{few}; none is" if count < len(wanted) else f"none of its {count} instances is"
        sentences.append(f"{arch}: {which} in {' or '.join(missing)}.")
    return sentences


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
