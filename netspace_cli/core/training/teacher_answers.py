"""A teacher's answers to all views of training images that a run shows, before its first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from .step import Task, teacher_logits


def with_answers(task: Task, stopping: Callable[[], bool]) -> Task | None:
    """Ask the teacher about each view of an image that the run's steps show; where views are not fixed, do nothing.

    It answers as many at once as a step shows, in the order of the steps: a run that is resumed, of any number
    of processes, gets the same bits. Processes share the asking.

    Args:
        stopping: whether to break off; asked by all processes alike.
    Returns:
        The task with the answers; None where it was to break off.
    Raises:
        RunFailed: memory ran out.
        ProcessLost: another process is gone.
    """
    views, runner = task.views, task.runner
    if views is None:
        return task
    processes, batches = runner.processes, list(views.shown(task.recipe.train.steps))
    rows = views.count * len(views.data.splits["train"])
    answers = torch.zeros(rows, views.data.io.outputs, device=runner.device)
    with runner.progress("asking the teacher", sum(map(len, batches))) as tick:
        for first in range(0, len(batches), processes.count):
            if stopping():
                return None
            for places in batches[first + processes.number : first + processes.number + 1]:
                with runner.guard("while asking the teacher"), torch.no_grad(), runner.autocast():
                    said = teacher_logits(task, views.batch(places)[0])
                assert said is not None  # views are refused without a teacher
                answers[places.to(runner.device)] = said.float()
            tick(sum(map(len, batches[first : first + processes.count])))
    return replace(task, views=replace(views, answers=processes.add_up(answers)))
