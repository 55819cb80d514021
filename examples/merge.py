"""Three networks of three architectures become one LeNet: every way beside the others.

python examples/merge.py     (from the folder above: the sample networks are named from there)
"""

from __future__ import annotations

from netspace_cli import MergePlan, Runner, load_data, load_space, merge, read_network


def main(steps: int = 300) -> None:
    """Print what each way came to; the best by validation is `merged.network`."""
    space, data = load_space("digits"), load_data("digits")
    names = ("lenet", "vanillacnn", "resnet8")
    members = [read_network(f"examples/digits/{n}.pt", candidates=space.architectures) for n in names]
    with Runner("auto", seed=0) as runner:
        target = space.model.architecture("lenetlike")
        merged = merge(members, data, runner, architecture=target, space=space, plan=MergePlan(steps=steps))
    for way in merged.ways:
        print(f"{way.name:16} {way.scores.test:6.1%} {way.steps:5} steps {'<- chosen' if way.chosen else ''}")


if __name__ == "__main__":
    main()
