"""Reading what others wrote: files as other people's programs leave them, of networks that are not ours."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import ImageIO, NetworkIO, build
from netspace_models.errors import CheckpointError, ConfigError, UnknownArchitecture
from torch import Tensor, nn

from netspace_cli.core.encoding.decode import decode, write_decoded
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.network import check_teacher, read_network, write_network
from netspace_cli.core.networks.prep_files import write_prep
from netspace_cli.core.networks.recognise import recognise
from netspace_cli.core.networks.scores import logits_of
from netspace_cli.core.requests.inputs import read_teacher
from netspace_cli.core.requests.inspect import inspect
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.loop import train
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo
from tests.worlds import Cli, Tiny

State = dict[str, Tensor]
CIFAR, TINY = ImageIO(3, 32, 10), ImageIO(1, 8, 3)


class Shortcut(nn.Module):
    """Every second pixel, and the channels between zeros: what others write as a lambda."""

    def forward(self, x: Tensor) -> Tensor:
        quarter = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter), "constant", 0)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = Shortcut() if stride != 1 else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out)


class Theirs(nn.Module):
    """A CIFAR-10 ResNet as the most common code for it has it."""

    def __init__(self, depth: int, io: ImageIO) -> None:
        super().__init__()
        count = (depth - 2) // 6
        self.conv1 = nn.Conv2d(io.channels, 16, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(count)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(count - 1)))
        self.layer3 = nn.Sequential(Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(count - 1)))
        self.linear = nn.Linear(64, io.classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


def trained(depth: int, io: ImageIO, seed: int = 0) -> Theirs:
    """With the statistics of a network that has seen images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Theirs(depth, io)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.4, 1.4)
                nn.init.normal_(module.bias, std=0.3)
                assert module.running_mean is not None and module.running_var is not None
                nn.init.normal_(module.running_mean, std=0.5)
                nn.init.uniform_(module.running_var, 0.3, 2.0)
    return net.eval()


def published(path: Path, net: nn.Module) -> Path:
    """As the well-known files are: the old format, DataParallel's prefix, no counters, the best accuracy beside."""
    state = {f"module.{n}": t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    torch.save({"best_prec1": 91.78, "state_dict": state}, path, _use_new_zipfile_serialization=False)
    return path


def same(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-5 * other.abs().max())


@pytest.mark.parametrize(("depth", "parameters"), [(8, 75_050), (20, 269_034), (56, 850_986)])
def test_a_published_teacher_is_recognised(tmp_path: Path, depth: int, parameters: int) -> None:
    path = published(tmp_path / "net.th", trained(depth, CIFAR))
    found = inspect(path)
    assert (found["kind"], found["arch"], found["form"]) == ("checkpoint", f"resnet{depth}-a", "full")
    assert found["parameters"] == parameters and "10 classes" in found["io"]
    assert recognise(read_checkpoint(path)).io == CIFAR
    assert found["notes"] == [
        "The state dict was found under 'state_dict'.",
        "The prefix 'module.' was cut off every name.",
        f"resnet{depth}-a assumed: resnet{depth}-a-behind and resnet{depth}-a-before have the same parameters, and the "
        f'file names none of them. `arch="resnet{depth}-a-behind"` chooses another.',
    ]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("depth", [8, 20])
def test_it_gives_the_answers_that_its_own_module_gives(tiny: Tiny, tmp_path: Path, depth: int) -> None:
    net = trained(depth, TINY)
    teacher = read_teacher(published(tmp_path / "net.th", net), TINY)
    assert teacher.architecture.name == f"resnet{depth}-a"
    check_teacher(teacher, TINY)
    images, _ = tiny.data.batch("test", slice(None))
    with Runner("cpu") as runner, torch.no_grad():
        found, expected = logits_of(teacher.architecture, teacher.weights, tiny.data, "test", runner), net(images)
    assert expected.std() > 0.05 and same(found, expected)


def test_it_teaches(tiny: Tiny, tmp_path: Path, cli: Cli) -> None:
    path = published(tmp_path / "net.th", trained(20, TINY))
    common = ["--data", tiny.npz, "--teacher", path, "--json"]
    result = cli("lso", tiny.networks["lenetlike"], "--space", tiny.space.path, "--steps", 2, "--images", 8, *common)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["history"]) == 2
    settings = [f"-s{key}={value}" for key, value in (("train.steps", 2), ("train.instances", 1), ("train.images", 8))]
    settings += ["-sbackbone.embedding_size=64", "-sbackbone.width=16", "-sbackbone.heads=2", "-sbackbone.latents=4"]
    result = cli("train", tiny.zoo.path, "-o", tmp_path / "s.safetensors", *settings, *common)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "s.safetensors").exists()


def test_a_teacher_for_other_images_is_named_with_what_differs(tmp_path: Path) -> None:
    path = published(tmp_path / "net.th", trained(8, CIFAR))
    with pytest.raises(ConfigError) as refused:
        read_teacher(path, TINY)
    assert "net.th is for 3x32x32, 10 classes; these images are 1x8x8, 3 classes." in refused.value.message
    assert refused.value.hint == "Give a teacher trained on these images."


def test_a_space_of_them_encodes_and_decodes_what_others_load(tiny: Tiny, tmp_path: Path) -> None:
    io = tiny.data.io
    with Runner("cpu") as runner:
        zoo = train_zoo(tmp_path / "zoo", ZooPlan(("resnet8-a",), (2, 1, 1), (1, 1), batch=20), tiny.data, runner)
        assert [i.arch for i in zoo.instances] == ["resnet8-a"] * 4
        backbone = {"kind": "tokens", "embedding_size": 64, "latents": 4, "chunk": 64, "width": 16, "heads": 2}
        steps = {"steps": 3, "instances": 1, "images": 8, "validate_every": 3, "warmup": 1}
        recipe = recipe_from({"space": {"name": "a"}, "backbone": backbone, "train": steps, "refine": {"steps": 0}})
        space = train(zoo, tmp_path / "a.safetensors", recipe, tiny.data, runner)
        net = trained(8, io)
        network = read_network(published(tmp_path / "net.th", net), candidates=space.architectures)
        embeddings = encode([network], space, runner)
        (predicted,) = decode(embeddings, space, runner)
    write_decoded([predicted], [tmp_path / "back.pt"], space, force=False)
    net.load_state_dict(torch.load(tmp_path / "back.pt", weights_only=True), strict=True)
    images, _ = tiny.data.batch("test", slice(None))
    with torch.no_grad():
        assert same(net(images), predicted.architecture.run(predicted.weights, images))


def test_what_is_read_is_written_back_for_its_own_module(tiny: Tiny, tmp_path: Path) -> None:
    net = trained(14, TINY)
    images, _ = tiny.data.batch("test", slice(None))
    with torch.no_grad():
        expected = net(images)
        network = read_network(published(tmp_path / "net.th", net), io=TINY)
        write_network(tmp_path / "back.pt", network, metadata={})
        again = Theirs(14, TINY).eval()
        again.load_state_dict(torch.load(tmp_path / "back.pt", weights_only=True), strict=True)
        assert same(again(images), expected)
    assert torch.equal(read_network(tmp_path / "back.pt", io=TINY).weights, network.weights)


def test_only_the_depth_that_a_file_has_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, NetworkIO]] = []

    def spy(name: str, io: NetworkIO) -> object:
        asked.append((name, io))
        return build(name, io)

    monkeypatch.setattr("netspace_cli.core.networks.recognise.build", spy)
    for depth in (8, 20):
        recognise(read_checkpoint(published(tmp_path / f"{depth}.th", trained(depth, CIFAR))))
    architecture = build("resnet14", CIFAR)
    torch.save(architecture.to_state(torch.zeros(architecture.parameter_count)), tmp_path / "b.pt")
    assert recognise(read_checkpoint(tmp_path / "b.pt")).name == "resnet14"
    assert asked == [("resnet8-a", CIFAR), ("resnet20-a", CIFAR), ("resnet14", CIFAR)]


def refused(path: Path, state: State) -> UnknownArchitecture:
    torch.save(state, path)
    with pytest.raises(UnknownArchitecture) as raised:
        recognise(read_checkpoint(path))
    return raised.value


def blocks(counts: list[int], convolutions: int, classifier: str = "fc") -> State:
    """Tiny tensors with the names of a ResNet of these blocks; the first and last have their true shapes."""
    names = [
        f"layer{stage}.{b}.{kind}{i}.weight"
        for stage, count in enumerate(counts, start=1)
        for b in range(count)
        for i in range(1, convolutions + 1)
        for kind in ("conv", "bn")
    ]
    state = {n: torch.zeros(2, 2, 1, 1) if "conv" in n else torch.zeros(2) for n in names}
    return {
        "conv1.weight": torch.zeros(64, 3, 7, 7),
        **state,
        f"{classifier}.weight": torch.zeros(7, 512),
        f"{classifier}.bias": torch.zeros(7),
    }


@pytest.mark.parametrize(
    ("counts", "convolutions", "nearest", "stages"),
    [
        ([2, 2, 2, 2], 2, "resnet20", "4 stages of 2, 2, 2, 2 blocks (known: 3 of equally many)"),
        ([3, 4, 6, 3], 3, "resnet32", "4 stages of 3, 4, 6, 3 blocks (known: 3 of equally many)"),
        ([1, 2, 1], 2, "resnet8", "3 stages of 1, 2, 1 blocks (known: 3 of equally many)"),
        ([1] * 9, 2, "resnet20", "9 stages of 1, 1, 1, 1, 1, 1, … blocks"),
    ],
)
def test_other_resnets_are_told_what_differs(
    tmp_path: Path, counts: list[int], convolutions: int, nearest: str, stages: str
) -> None:
    failure = refused(tmp_path / "net.pt", blocks(counts, convolutions))
    assert f"net.pt: {2 * convolutions * sum(counts) + 3} tensors that fit no known architecture." in failure.message
    assert f"Nearest is {nearest} (3x32x32, 7 classes), but this ResNet differs in: {stages}" in failure.message
    assert "a first convolution of 7x7 to 64 channels (known: 3x3 to 16)." in failure.message
    assert ("blocks of three convolutions (known: two)" in failure.message) == (convolutions == 3)
    assert '`arch="torchvision.models:resnet18"`' in failure.hint


def test_that_hint_holds(tmp_path: Path) -> None:
    import torchvision

    with torch.random.fork_rng():
        torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "net.pt")
    checkpoint = read_checkpoint(tmp_path / "net.pt")
    found = recognise(checkpoint, arch="torchvision.models:resnet18")
    assert (found.name, found.form_of(checkpoint.state)) == ("torchvision.models:resnet18", "full")
    with pytest.raises(UnknownArchitecture, match="4 stages of 2, 2, 2, 2 blocks"):
        recognise(checkpoint)


def test_shortcuts_of_another_name_are_told(tmp_path: Path) -> None:
    state = dict(trained(8, CIFAR).state_dict()) | {"layer2.0.shortcut.0.weight": torch.zeros(32, 16, 1, 1)}
    message = refused(tmp_path / "net.pt", state).message
    assert "Nearest is resnet8-a (3x32x32, 10 classes), but the parameters do not fit resnet8-a." in message
    assert "1 unexpected: layer2.0.shortcut.0.weight." in message


def test_a_classifier_of_the_other_name_is_told(tmp_path: Path) -> None:
    state = {n.replace("linear", "fc"): t for n, t in trained(8, CIFAR).state_dict().items()}
    message = refused(tmp_path / "net.pt", state).message
    assert "Nearest is resnet8 (3x32x32, 10 classes)" in message
    assert "10 missing: layer2.0.downsample.0.weight" in message


def test_images_and_classes_are_read_off_even_without_the_last_bias(tmp_path: Path) -> None:
    state = {n: t for n, t in trained(8, ImageIO(2, 32, 6)).state_dict().items() if n != "linear.bias"}
    message = refused(tmp_path / "net.pt", state).message
    assert "Nearest is resnet8-a (2x32x32, 6 classes), but" in message and "1 missing: linear.bias." in message


def test_the_nearest_is_for_such_images(tmp_path: Path) -> None:
    """A smaller network of other images has fewer names to disagree on; it is no help."""
    torch.save(blocks([2, 2, 2, 2], 2), tmp_path / "net.pt")
    with pytest.raises(UnknownArchitecture, match=r"Nearest is resnet20 \(3x32x32, 7 classes\)"):
        recognise(read_checkpoint(tmp_path / "net.pt"), candidates=[build("resnet8", ImageIO(1, 16, 10))])


def training_leftovers(net: nn.Module) -> dict[str, object]:
    """What programs keep beside a network to go on training."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [100, 150])
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    return {
        "epoch": 7,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()},
        "best": torch.tensor(0.93),
    }


@pytest.mark.parametrize("place", ["state_dict", "model", "net", "model_state_dict", "network"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_a_checkpoint_to_go_on_training_from(tiny: Tiny, tmp_path: Path, place: str, prefix: str) -> None:
    net = trained(8, TINY)
    state = {prefix + n: t.clone() for n, t in net.state_dict().items()}
    torch.save({**training_leftovers(net), place: state}, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt", io=TINY)
    plain = build("resnet8-a", TINY).to_weights({n.removeprefix(prefix): t for n, t in state.items()})
    assert network.architecture.name == "resnet8-a" and torch.equal(network.weights, plain)
    found = inspect(tmp_path / "net.pt")
    assert (found["arch"], found["tensors"]) == ("resnet8-a", len(state))
    assert found["notes"][0] == f"The state dict was found under {place!r}."
    assert (f"The prefix {prefix!r} was cut off every name." in found["notes"]) == bool(prefix)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_averaged_copy_alone_is_taken_beside_it_a_choice_is_asked_for(tmp_path: Path, prefix: str) -> None:
    raw, averaged = (trained(8, TINY, seed).state_dict() for seed in (0, 1))
    content = {"epoch": 1, "state_dict_ema": {prefix + n: t for n, t in averaged.items()}}
    torch.save(content, tmp_path / "ema.pt")
    alone = inspect(tmp_path / "ema.pt")
    assert alone["arch"] == "resnet8-a" and "'state_dict_ema'" in alone["notes"][0]
    torch.save(content | {"state_dict": {prefix + n: t for n, t in raw.items()}}, tmp_path / "both.pt")
    with pytest.raises(CheckpointError) as refused:
        inspect(tmp_path / "both.pt")
    assert "there are 2 state dicts in it: 'state_dict_ema', 'state_dict'" in refused.value.message
    assert refused.value.hint == 'Choose one, e.g. `key="state_dict_ema"` (of a teacher: `read_teacher(..., key=...)`).'
    architecture = build("resnet8-a", TINY)
    for key, state in (("state_dict", raw), ("state_dict_ema", averaged)):
        assert inspect(tmp_path / "both.pt", key=key)["arch"] == "resnet8-a"
        network = read_network(tmp_path / "both.pt", io=TINY, key=key)
        assert torch.equal(network.weights, architecture.to_weights(state))


def test_torchs_own_averaged_model_is_read_without_its_counter(tmp_path: Path) -> None:
    net = trained(8, TINY)
    averaged = torch.optim.swa_utils.AveragedModel(net, use_buffers=True)
    torch.save(averaged.state_dict(), tmp_path / "ema.pt")
    found = inspect(tmp_path / "ema.pt")
    assert found["arch"] == "resnet8-a"
    assert "The counter 'n_averaged' of weight averaging was left out." in found["notes"]
    assert torch.equal(read_network(tmp_path / "ema.pt", io=TINY).weights, read_plain(net))


def read_plain(net: nn.Module) -> Tensor:
    return build("resnet8-a", TINY).to_weights(net.state_dict())


@pytest.mark.parametrize("other", ["weight", "modules.weight"])
def test_that_counter_is_kept_where_nothing_was_averaged(tmp_path: Path, other: str) -> None:
    torch.save({"n_averaged": torch.tensor(3), other: torch.ones(1)}, tmp_path / "net.pt")
    assert set(read_checkpoint(tmp_path / "net.pt").state) == {"n_averaged", other}
    torch.save({"n_averaged": torch.tensor(3)}, tmp_path / "alone.pt")
    assert set(read_checkpoint(tmp_path / "alone.pt").state) == {"n_averaged"}


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn"])
def test_a_file_of_the_release_comes_out_as_its_prep(tmp_path: Path, name: str) -> None:
    """Weight then bias of each layer as the file has them, in rows of 10,000."""
    shapes: dict[str, tuple[int, ...]]
    if name == "lenetlike":
        shapes = {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)}
    else:
        channels = (3, 8, 8, 32, 64, 64)
        shapes = {f"layers.{i}": (channels[i + 1], channels[i], 3, 3) for i in range(5)} | {"layers.5": (10, 1024)}
    generator, state = torch.Generator().manual_seed(0), {}
    for layer, shape in shapes.items():
        state[f"{layer}.weight"] = torch.randn(shape, generator=generator)
        state[f"{layer}.bias"] = torch.randn(shape[0], generator=generator)
    torch.save(state, tmp_path / "0.pt")
    assert inspect(tmp_path / "0.pt")["arch"] == name
    network = read_network(tmp_path / "0.pt")
    assert network.architecture.io == CIFAR
    write_prep(network, tmp_path / "0.npy")
    flat = torch.cat([t.flatten() for t in state.values()])
    expected = torch.cat([flat, torch.zeros(80_000 - len(flat))]).view(8, 10_000)
    assert np.array_equal(np.load(tmp_path / "0.npy"), expected.numpy())
