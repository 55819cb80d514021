"""One side of a comparison: runs rounds of a case in the tree that is first on the path, when told on stdin."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cases
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


class Counting(TorchDispatchMode):
    """Counts operations, except those that only look at a tensor in another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        operation: OpOverload,
        types: Sequence[type],
        arguments: Sequence[object] = (),
        options: dict[str, object] | None = None,
    ) -> object:
        if not operation.is_view:
            self.count += 1
        return operation(*arguments, **(options or {}))


def main(case: str, folder: Path) -> None:
    """Prepare a case, then answer each line of stdin with a line of JSON."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    run = cases.CASES[case](folder)
    for line in sys.stdin:
        if line.strip() == "operations":
            with Counting() as counting:
                run()
            answer: dict[str, float] = {"operations": counting.count}
        else:
            began = time.process_time()
            value = run()
            answer = {"seconds": time.process_time() - began, "value": value}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
