"""netspace as a library: embed two networks, walk between them, improve one.

python examples/library.py     (from the folder above: the sample networks are named from there)
"""

from __future__ import annotations

from netspace_cli import Runner, encode, fidelity, interpolate, load_data, load_space, optimise, read_network


def main() -> None:
    """Each step prints what it found."""
    space, data = load_space("digits"), load_data("digits")
    names = ("lenet", "resnet32")
    lenet, resnet = (read_network(f"examples/digits/{n}.pt", candidates=space.architectures) for n in names)
    with Runner("auto", seed=0) as runner:
        embeddings = encode([lenet, resnet], space, runner, data=data, refine_steps=20)
        kept = fidelity(lenet, embeddings.vectors[0], space, data, runner)
        print(f"lenet: target {kept.target_accuracy:.3f}, predicted {kept.predicted_accuracy:.3f}")

        for step in interpolate(*embeddings.vectors, space, runner, steps=6, data=data):
            print(step.gamma, step.network.architecture.name, step.accuracy)

        teacher = read_network("examples/digits/resnet56.pt", io=space.io)
        better = optimise(embeddings.vectors[0], space, data, runner, teacher=teacher, steps=20)
        print(f"lso: loss {better.initial.loss:.3f} to {better.optimised.loss:.3f}")


if __name__ == "__main__":
    main()
