"""The backbone is ResNet-50 version 1.5, and one channel equals three on a grey image."""

import copy
import math
from collections.abc import Iterator

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from rn50med.errors import RecipeError
from rn50med.model.backbone import ResNet50
from rn50med.model.heads import LinearHead
from rn50med.model.stem import Normalisation, to_one_channel
from rn50med.parts import build

STAGES = ("layer1", "layer2", "layer3", "layer4")
STRIDES = (4, 8, 16, 32)
# He et al., table 1, layer by layer: how far one value of a stage sees, in pixels.
RECEPTIVE_FIELDS = (35, 91, 267, 427)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads on few, busy cores mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lively(network: nn.Module) -> nn.Module:
    """Give batch norm the statistics and scales that training gives, so that no layer is an identity."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.weight.shape
            module.weight.data = torch.rand(shape, generator=generator) + 0.5
            module.bias.data = torch.randn(shape, generator=generator) * 0.1
            module.running_mean = torch.randn(shape, generator=generator) * 0.1
            module.running_var = torch.rand(shape, generator=generator) + 0.5
    return network


@pytest.fixture(scope="module")
def colour() -> ResNet50:
    torch.manual_seed(0)
    return lively(ResNet50(weights="none", in_channels=3)).eval()


@pytest.fixture(scope="module")
def grey(colour: ResNet50) -> ResNet50:
    """The same network for one channel, made as `load_weights` makes it."""
    network = ResNet50(weights="none", in_channels=1).eval()
    state = colour.body.state_dict()
    network.body.load_state_dict({**state, **to_one_channel(state)})
    return network


def parameters(*modules: nn.Module) -> int:
    return sum(value.numel() for module in modules for value in module.parameters())


def test_it_has_the_published_number_of_parameters(colour: ResNet50) -> None:
    assert parameters(colour) == 23_508_032
    assert parameters(colour, LinearHead(colour.channels, 1000)) == 25_557_032
    assert parameters(ResNet50(weights="none")) == 23_508_032 - 2 * 64 * 7 * 7


def test_the_stem_is_a_7x7_convolution_of_stride_2_and_a_max_pool(colour: ResNet50) -> None:
    stem, pool = colour.body["conv1"], colour.body["maxpool"]
    assert (stem.out_channels, stem.kernel_size, stem.stride, stem.padding) == (64, (7, 7), (2, 2), (3, 3))
    assert stem.bias is None
    assert isinstance(pool, nn.MaxPool2d)
    assert (pool.kernel_size, pool.stride, pool.padding) == (3, 2, 1)


def test_stages_have_3_4_6_3_bottlenecks_of_256_to_2048_channels(colour: ResNet50) -> None:
    assert [len(colour.body[stage]) for stage in STAGES] == [3, 4, 6, 3]
    assert colour.channels == (256, 512, 1024, 2048)
    for stage, width in zip(STAGES, (64, 128, 256, 512), strict=True):
        for block in colour.body[stage]:
            kernels = [convolution.kernel_size[0] for convolution in (block.conv1, block.conv2, block.conv3)]
            assert kernels == [1, 3, 1]
            assert (block.conv1.out_channels, block.conv2.out_channels) == (width, width)
            assert block.conv3.out_channels == 4 * width
            assert block.conv2.groups == 1


def test_the_stride_is_on_the_3x3_convolution(colour: ResNet50) -> None:
    for stage in STAGES:
        for index, block in enumerate(colour.body[stage]):
            stride = 2 if index == 0 and stage != "layer1" else 1
            assert (block.conv1.stride[0], block.conv2.stride[0], block.conv3.stride[0]) == (1, stride, 1)


def test_the_shortcut_is_a_projection_only_where_shapes_disagree(colour: ResNet50) -> None:
    for stage in STAGES:
        projected = [block.downsample is not None for block in colour.body[stage]]
        assert projected == [True] + [False] * (len(projected) - 1)
        projection = colour.body[stage][0].downsample
        assert projection[0].kernel_size == (1, 1)
        assert isinstance(projection[1], nn.BatchNorm2d)
        block = copy.deepcopy(colour.body[stage][1])
        nn.init.zeros_(block.bn3.weight)
        nn.init.zeros_(block.bn3.bias)
        features = torch.rand(1, block.conv1.in_channels, 4, 4)
        assert torch.equal(block(features), features)


@torch.inference_mode()
def test_it_computes_what_torchvisions_resnet50_computes() -> None:
    other = lively(torchvision.models.resnet50(weights=None)).eval()
    network = ResNet50(weights="none", in_channels=3).eval()
    network.body.load_state_dict(other.state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 96)
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    features = other.maxpool(other.relu(other.bn1(other.conv1(normalise(image)))))
    for stage, found in zip(STAGES, network(image), strict=True):
        features = getattr(other, stage)(features)
        torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-4 * float(features.abs().max()))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (33, 32)])
@torch.inference_mode()
def test_feature_maps_have_strides_4_to_32(grey: ResNet50, height: int, width: int) -> None:
    expected = [
        (2, channels, math.ceil(height / stride), math.ceil(width / stride))
        for channels, stride in zip(grey.channels, STRIDES, strict=True)
    ]
    assert [tuple(feature.shape) for feature in grey(torch.rand(2, 1, height, width))] == expected


def test_normalisation_is_imagenets_and_its_average() -> None:
    colour, grey = ResNet50(weights="none", in_channels=3), ResNet50(weights="none")
    torch.testing.assert_close(colour.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(colour.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    torch.testing.assert_close(grey.mean.flatten(), torch.tensor([0.449]))
    torch.testing.assert_close(grey.std.flatten(), torch.tensor([0.226]))
    published = timm.get_pretrained_cfg("resnet50.a1_in1k")
    assert Normalisation.published().mean == tuple(published.mean)


def interior(feature: Tensor, stage: int) -> Tensor:
    """Leave out what sees the two outermost rows of the stem, where its kernel hangs over the edge."""
    margin = math.ceil((RECEPTIVE_FIELDS[stage] / 2 + 4) / STRIDES[stage])
    return feature[..., margin:-margin, margin:-margin]


@torch.inference_mode()
def test_one_channel_equals_three_on_a_grey_image(grey: ResNet50, colour: ResNet50) -> None:
    image = torch.rand(1, 1, 544, 544)  # the smallest with an interior at stride 32
    pairs = list(zip(grey(image), colour(image.expand(-1, 3, -1, -1)), strict=True))
    for stage, (found, wanted) in enumerate(pairs):
        scale = float(wanted.abs().max())
        inside = interior(found, stage)
        assert inside.numel() > 0
        difference = (inside - interior(wanted, stage)).abs().max()
        assert float(difference) <= 1e-4 * scale
        # The frame of the padding: measured at 3 % of the range in the first map, 0.3 % in the last.
        assert float((found - wanted).abs().max()) <= 0.05 * scale
        assert float((found - wanted).abs().mean()) <= 1e-3 * scale


@torch.inference_mode()
def test_only_two_rows_of_the_stem_differ_between_one_channel_and_three(
    grey: ResNet50, colour: ResNet50
) -> None:
    image = torch.rand(2, 1, 64, 64)

    def stem(network: ResNet50, pixels: Tensor) -> Tensor:
        return network.body["bn1"](network.body["conv1"]((pixels - network.mean) / network.std))

    difference = (stem(grey, image) - stem(colour, image.expand(-1, 3, -1, -1))).abs()
    assert float(difference[..., 2:-1, 2:-1].max()) < 1e-4
    assert float(difference.max()) > 1e-4  # the reason why the interior is looked at


def test_one_channel_equals_three_in_training_too(grey: ResNet50, colour: ResNet50) -> None:
    one, three = (copy.deepcopy(network).train() for network in (grey, colour))
    image = torch.rand(2, 1, 128, 128)
    with torch.no_grad():
        found, wanted = one(image)[0], three(image.expand(-1, 3, -1, -1))[0]
    # Batch statistics take the constant off by themselves; the frame moves them a little.
    assert float((found - wanted).abs().mean()) <= 3e-3 * float(wanted.abs().max())


@pytest.mark.parametrize("in_channels", [0, 2, 4])
def test_other_numbers_of_channels_are_refused(in_channels: int) -> None:
    with pytest.raises(RecipeError, match="1 for grey images or 3 for colour"):
        ResNet50(weights="none", in_channels=in_channels)


@torch.inference_mode()
def test_it_is_rebuilt_from_its_specification_without_its_file(colour: ResNet50) -> None:
    specification = ResNet50(weights="/nowhere/at/all.pth", in_channels=3).specification()
    assert specification["init_args"]["weights"] == "all.pth"  # a path may name a patient
    rebuilt = build(specification, ResNet50).eval()
    rebuilt.load_state_dict(colour.state_dict())
    image = torch.rand(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(rebuilt(image), colour(image), strict=True))


def test_gradients_reach_every_parameter() -> None:
    network = lively(ResNet50(weights="none"))
    sum(feature.square().mean() for feature in network(torch.rand(2, 1, 64, 64))).backward()
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in network.parameters())


def test_a_copy_is_equal_and_separate(colour: ResNet50) -> None:
    twin = copy.deepcopy(colour)
    assert twin.specification() == colour.specification()
    nn.init.zeros_(twin.body["conv1"].weight)
    assert bool(colour.body["conv1"].weight.any())
