"""netspace as a library: embed two networks, walk between them, improve one, write it.

python examples/library.py
"""

from __future__ import annotations

from pathlib import Path

from netspace_cli import Runner, encode, fidelity, interpolate, load_data, load_space, optimise, read_network

SAMPLES = Path(__file__).parent / "digits"


def main() -> None:
    """Each step prints what it found."""
    space, data = load_space("digits"), load_data("digits")
    lenet, resnet = (
        read_network(SAMPLES / f"{name}.pt", candidates=space.architectures) for name in ("lenet", "resnet32")
    )
    with Runner("auto", seed=0) as runner:
        embeddings = encode([lenet, resnet], space, runner, data=data, refine_steps=20)
        kept = fidelity(lenet, embeddings.vectors[0], space, data, runner)
        print(f"lenet: target {kept.target_accuracy:.3f}, predicted {kept.predicted_accuracy:.3f}")

        for step in interpolate(*embeddings.vectors, space, runner, steps=6, data=data):
            print(f"gamma {step.gamma:.2f}: {step.network.architecture.name}, accuracy {step.accuracy:.3f}")

        teacher = read_network(SAMPLES / "resnet56.pt", signal=space.signal)
        better = optimise(embeddings.vectors[0], space, data, runner, teacher=teacher, steps=20)
        print(f"lso: loss {better.initial.loss:.3f} to {better.optimized.loss:.3f}")


if __name__ == "__main__":
    main()
