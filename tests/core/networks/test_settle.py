"""Architectures with the same names and shapes: the file tells, or its values, or images; else one is assumed aloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, build
from netspace_models.architectures.registry import factory
from netspace_models.errors import UnknownArchitecture
from torch import Tensor, nn

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.networks.assumptions import collecting, provisionally, strictly
from netspace_cli.core.networks.decide import deciding_by
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.rest_evidence import _largest, unrest
from netspace_cli.core.requests.inspect import inspect

IO, SMALL = ImageIO(1, 32, 3), ImageIO(1, 8, 3)


class Tutorial(nn.Module):
    """Convolution, ReLU, max-pooling, twice; three linear layers: names and shapes of lenetlike."""

    def __init__(self, io: ImageIO) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(io.channels, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, io.classes)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in (self.conv1, self.conv2):
            x = F.max_pool2d(convolution(x).relu(), 2)
        logits: Tensor = self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())
        return logits


def images(io: ImageIO = IO, count: int = 240) -> ImageData:
    """Faint blots at three places."""
    g, side = torch.Generator().manual_seed(0), io.size // 4
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 120, (count, *io.input_shape), generator=g)
    for i, label in enumerate(labels.tolist()):
        pixels[i, 0, side * label : side * (label + 1), side : 2 * side] += 15
    split = Split(pixels.to(torch.uint8), labels)
    splits = dict.fromkeys(("train", "val", "test"), split)
    return ImageData("blots", io, splits, (0.25,), (0.15,), 0, False, ("a", "b", "c"))


def trained(module: nn.Module, data: ImageData, steps: int = 40) -> nn.Module:
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(module.parameters(), 2e-3)
    for step in range(steps):
        x, y = data.batch("train", slice(48 * (step % 5), 48 * (step % 5 + 1)))
        optimiser.zero_grad()
        F.cross_entropy(module(x), y).backward()
        optimiser.step()
    return module.eval()


def saved(path: Path, module: nn.Module) -> Path:
    torch.save(module.state_dict(), path)
    return path


def made(name: str, io: NetworkIO = IO) -> nn.Module:
    torch.manual_seed(0)
    return factory(name)(io)


@pytest.mark.parametrize("theirs", [Tutorial, "lenetlike"])
def test_images_decide_what_was_trained(tmp_path: Path, theirs: type[Tutorial] | str) -> None:
    torch.manual_seed(1)
    data = images()
    module = trained(made(theirs) if isinstance(theirs, str) else theirs(IO), data)
    path = saved(tmp_path / "a.pt", module)
    with collecting() as remarks, deciding_by(data), strictly():
        network = read_network(path)
    wanted = theirs if isinstance(theirs, str) else "lenet5"
    assert network.architecture.name == wanted
    x, _ = data.batch("test", slice(0, 8))
    with torch.no_grad():
        torch.testing.assert_close(network.architecture.run(network.weights, x), module(x), rtol=0, atol=1e-4)
    (line,) = remarks.lines(assumed=wanted != "lenetlike")
    assert line.startswith(f"{path}: {wanted}, not ") and "training images of blots rightly" in line
    assert remarks.lines(assumed=wanted == "lenetlike") == []
    assert network.notes == (line.removeprefix(f"{path}: "),)


def test_without_images_one_is_assumed_aloud_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", Tutorial(IO))
    with collecting() as remarks:
        assert read_network(path).architecture.name == "lenetlike"
        read_network(path)
        read_network(saved(tmp_path / "b.pt", Tutorial(IO)))
        with provisionally():
            read_network(saved(tmp_path / "c.pt", Tutorial(IO)))
    (line,) = remarks.lines(assumed=True)
    assert line.startswith(f"{path} and 1 other: lenetlike assumed: lenet5, ") and '`arch="lenet5"`' in line
    with (
        strictly(),
        pytest.raises(UnknownArchitecture, match=r"a\.pt: its architecture is not certain.*lenet5") as told,
    ):
        read_network(path)
    assert told.value.hint == "Name it: `arch=NAME`."
    with strictly():
        assert read_network(path, arch="lenet5").notes == ()


def test_untrained_networks_are_not_decided_by_images(tmp_path: Path) -> None:
    with collecting() as remarks, deciding_by(images(SMALL)):
        read_network(saved(tmp_path / "a.pt", made("resnet8", SMALL)), io=SMALL)
    assert "resnet8 assumed: resnet8-relu has the same parameters" in remarks.lines(assumed=True)[0]


def test_batch_norms_decide_by_what_they_recorded(tmp_path: Path) -> None:
    data = images(SMALL)
    for name in ("resnet8", "resnet8-relu"):
        module = made(name, SMALL)
        for m in module.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.momentum = None  # statistics of all images, as at the end of a long training
        with torch.no_grad():
            for part in range(5):
                module.train()(data.batch("train", slice(48 * part, 48 * part + 48))[0])
        with collecting() as remarks, deciding_by(data):
            assert read_network(saved(tmp_path / "a.pt", module), io=SMALL).architecture.name == name
        (line,) = remarks.lines(assumed=name != "resnet8")
        assert "statistics that its batch norms recorded differ by" in line


@pytest.mark.parametrize("option", ["-a-behind", "-a-before", "-b", "-relu", "-3x3"])
def test_common_resnets_compute_what_plain_pytorch_does(option: str) -> None:
    torch.manual_seed(0)
    name = f"resnet14{option}"
    architecture, theirs = build(name, IO), PlainResNet(option)
    for m in theirs.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean, m.running_var = torch.randn(m.num_features) / 9, torch.rand(m.num_features) + 0.5
    x = torch.rand(4, 1, 32, 32)
    weights = architecture.to_weights(theirs.state_dict())
    with torch.no_grad():
        expected = theirs.eval()(x)
    torch.testing.assert_close(architecture.run(weights, x), expected, rtol=0, atol=1e-4)
    shuffled = architecture.shuffle(weights, torch.Generator().manual_seed(0))
    assert not torch.equal(shuffled, weights)
    torch.testing.assert_close(architecture.run(shuffled, x), expected, rtol=0, atol=1e-4)


class PlainBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.option, self.stride = option, stride
        self.shortcut = self.downsample = nn.Sequential()
        if stride != 1 and not option.startswith("-a"):
            k = 3 if option == "-3x3" else 1
            layers = nn.Sequential(nn.Conv2d(inputs, outputs, k, stride, k // 2, bias=False), nn.BatchNorm2d(outputs))
            setattr(self, "shortcut" if option == "-b" else "downsample", layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.stride != 1 and self.option.startswith("-a"):
            x = x[:, :, ::2, ::2]
            x = torch.cat([x, 0 * x] if self.option == "-a-behind" else [0 * x, x], 1)
        return (y + self.downsample(self.shortcut(x))).relu()


class PlainResNet(nn.Module):
    """Two blocks in each of three stages."""

    def __init__(self, option: str) -> None:
        super().__init__()
        self.stem = ("conv", "bn") if option == "-3x3" else ("conv1", "bn1")
        self.last = "fc" if option in ("-relu", "-3x3") else "linear"
        self.add_module(self.stem[0], nn.Conv2d(1, 16, 3, 1, 1, bias=False))
        self.add_module(self.stem[1], nn.BatchNorm2d(16))
        widths = (16, 16, 32, 64)
        for i in (1, 2, 3):
            first = PlainBlock(widths[i - 1], widths[i], 1 if i == 1 else 2, option)
            self.add_module(f"layer{i}", nn.Sequential(first, PlainBlock(widths[i], widths[i], 1, option)))
        self.add_module(self.last, nn.Linear(64, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.get_submodule(self.stem[1])(self.get_submodule(self.stem[0])(x)).relu()
        for i in (1, 2, 3):
            x = self.get_submodule(f"layer{i}")(x)
        logits: Tensor = self.get_submodule(self.last)(x.mean((2, 3)))
        return logits


@pytest.mark.parametrize("option", ["-b", "-3x3"])
def test_common_names_are_recognised(tmp_path: Path, option: str) -> None:
    with strictly():
        network = read_network(saved(tmp_path / "a.pt", PlainResNet(option)), io=IO)
    assert (network.architecture.name, network.notes) == (f"resnet14{option}", ())


def test_sines_are_told_from_relu_by_their_weights(tmp_path: Path) -> None:
    io = FieldIO(3, 1)
    with strictly():
        assert read_network(saved(tmp_path / "a.pt", made("siren-16x2", io))).architecture.name == "siren-16x2"
    path = saved(tmp_path / "b.pt", made("relu-field-16x2", io))
    with collecting() as remarks:
        read_network(path)
    assert "siren-16x2 assumed: relu-field-16x2 has the same parameters" in remarks.lines(assumed=True)[0]
    named = read_network(path, arch="relu-field-16x2")
    x = io.example(5, torch.Generator().manual_seed(0))
    state = torch.load(path)
    expected = F.linear(x, state["layers.0.weight"], state["layers.0.bias"]).relu()
    expected = F.linear(expected, state["layers.1.weight"], state["layers.1.bias"]).relu()
    expected = F.linear(expected, state["layers.2.weight"], state["layers.2.bias"])
    torch.testing.assert_close(named.architecture.run(named.weights, x), expected)
    torch.testing.assert_close(named.architecture.run_each(named.weights[None], x)[0], expected)


SIRENS_OF_THE_PAPER = {
    "siren-net-8x3": ("net.net.{}.0.", "net.net.3.0."),
    "siren-notebook-8x3": ("net.{}.linear.", "net.3."),
}


@pytest.mark.parametrize("nested", ["", "model", "state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net.", "_orig_mod.module."])
@pytest.mark.parametrize("name", SIRENS_OF_THE_PAPER)
def test_the_siren_papers_own_names_are_known(tmp_path: Path, name: str, prefix: str, nested: str) -> None:
    """Below a trainer's or a wrapper's prefix, too, though `net.` is one of them."""
    io, (hidden, end) = FieldIO(2, 3), SIRENS_OF_THE_PAPER[name]
    plain, state = made("siren-8x3", io), {}
    for each, tensor in plain.state_dict().items():
        _, layer, kind = each.split(".")
        state[(end if layer == "3" else hidden.format(layer)) + kind] = tensor
    saved = {prefix + each: tensor for each, tensor in state.items()}
    torch.save({nested: saved, "epoch": 3} if nested else saved, tmp_path / "a.pt")
    network = read_network(tmp_path / "a.pt")
    assert network.architecture.name == name
    assert list(network.architecture.to_state(network.weights)) == list(state)
    cut = [f"The prefix {prefix!r} was cut off every name."] if prefix else []
    assert [note for note in network.notes if "prefix" in note] == cut
    x = io.example(5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network.architecture.run(network.weights, x), plain(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            network.architecture.run_each(network.weights[None], x)[0], plain(x), rtol=1e-4, atol=1e-4
        )
    assert inspect(tmp_path / "a.pt")["arch"] == name


def quickly_trained(name: str, seed: int, data: ImageData) -> nn.Module:
    """A network whose rate has fallen to zero."""
    torch.manual_seed(seed)
    module, count = factory(name)(data.io).train(), len(data.splits["train"])
    optimiser = torch.optim.SGD(module.parameters(), 0.05, 0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    for _ in range(50):
        x, y = data.batch("train", torch.randint(count, (64,)))
        optimiser.zero_grad()
        F.cross_entropy(module(x), y).backward()
        optimiser.step()
        schedule.step()
    return module.eval()


# `python -m tests.benchmarks.variants` does this on a larger scale.
@pytest.mark.parametrize("name", ["resnet8-a", "resnet8-a-behind", "resnet8-a-before"])
def test_trained_resnets_are_told_apart_by_images(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "a.pt", quickly_trained(name, 1, images(SMALL)))
    with deciding_by(images(SMALL)), strictly():
        assert read_network(path, io=SMALL).architecture.name == name


def test_statistics_of_other_images_decide_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", quickly_trained("resnet8-relu", 1, images(SMALL)))
    data = images(SMALL)
    for mean, std in (((0.9,), (0.15,)), ((0.0,), (1.0,))):
        with deciding_by(replace(data, mean=mean, std=std)), strictly(), pytest.raises(UnknownArchitecture):
            read_network(path, io=SMALL)


def test_training_is_at_rest_with_its_own_function_alone() -> None:
    data = images(ImageIO(1, 28, 3))
    x, y = data.batch("train", slice(0, 128))
    own, other = (build(name, data.io) for name in ("cnn-small-relu", "cnn-small"))
    module = trained(made(own.name, data.io), data, steps=80)
    weights = own.to_weights(module.state_dict())
    found = [unrest(o, weights, x, y) for o in (own, other)]
    assert found[0] < 0.7 * found[1] and found[1] <= len(x)
    with torch.no_grad():
        alike = [unrest(own, torch.zeros_like(weights), x, torch.full_like(y, label)) for label in (0, 2)]
    assert alike == pytest.approx([len(x)] * 2), "all gradients are equal"


# `python -m tests.benchmarks.variants OUT mnist.npz --zoo ZOO` does this with true values.
@pytest.mark.parametrize(
    ("relu", "gelu", "chosen"),
    [(40.0, 90.0, "cnn-small-relu"), (90.0, 40.0, "cnn-small-gelu"), (40.0, 50.0, ""), (200.0, 900.0, "")],
)
def test_small_networks_are_decided_by_rest_alone_not_by_a_lower_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relu: float, gelu: float, chosen: str
) -> None:
    """A function smoother than the trained one has the lower loss; one near the other, or no rest, decides nothing."""
    data = images(ImageIO(1, 28, 3), 320)
    module = trained(made("cnn-small-relu", data.io), data)
    found = {"cnn-small-relu": relu, "cnn-small-gelu": gelu}
    monkeypatch.setattr("netspace_cli.core.networks.decide.unrest", lambda option, *_: found[option.name])
    with collecting() as remarks, deciding_by(data):
        network = read_network(saved(tmp_path / "a.pt", module), io=data.io)
    (line,) = remarks.lines(assumed=True)
    if chosen:
        assert network.architecture.name == chosen
        assert "the gradients of 320 training images of blots add up to 6.32 times one of them, with" in line
    else:
        assert "It may be" in line


def test_directions_are_those_of_the_largest_singular_values() -> None:
    gradients = torch.randn(60, 80, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -3, 80)
    left, _, _ = torch.linalg.svd(gradients.double())
    torch.testing.assert_close(_largest(gradients, 8).abs(), left[:, :8].abs(), rtol=0, atol=1e-2)
