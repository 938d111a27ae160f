"""Where features are read: as a reader of the architecture would say."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pyattrx.features import FeatureReader, Place, find_place

IMAGES = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def read(network, grid=2, place=None):
    reader = FeatureReader(find_place(network, IMAGES) if place is None else place, grid)
    with torch.no_grad():
        values = reader(network, IMAGES)
    return reader, values


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2)
        self.block = nn.Conv2d(6, 8, 3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 5)

    def maps(self, x):
        return self.block(self.stem(x).relu())

    def forward(self, x):
        return self.fc(self.drop(self.maps(x).mean((2, 3))))


def test_what_a_classifier_is_given_and_the_maps_it_was_pooled_from():
    network = Classifier().eval()
    place = find_place(network, IMAGES)
    assert place == Place("fc", True, "block")
    reader, values = read(network)
    maps = network.maps(IMAGES)
    torch.testing.assert_close(values[:, :8], maps.mean((2, 3)))
    assert (reader.width, reader.shape) == (8, (8, 2, 2))
    expected = F.adaptive_avg_pool2d(maps, 2)
    torch.testing.assert_close(values[:, 8:].reshape(3, 8, 2, 2), expected)


def test_a_classifier_that_is_a_convolution():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip
    assert find_place(network, IMAGES) == Place("2", True, "1")
    _, values = read(network)
    torch.testing.assert_close(values[:, :6], network[:2](IMAGES).mean((2, 3)))


def test_a_body_that_ends_in_a_convolution_as_wide_as_its_output_has_no_classifier():
    """Residual networks without their classifier: the last convolution has a norm behind it."""
    body = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), nn.ReLU()]
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert find_place(network, IMAGES) == Place(maps="4")
    _, values = read(network)
    torch.testing.assert_close(values[:, :8], network(IMAGES))


class Heads(nn.Module):
    """A classifier, and other heads beside it; or a gate, which makes features of both."""

    def __init__(self, *others, gate=False):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        self.classifier = nn.Linear(8, 5)
        self.others = nn.ModuleList(others)
        self.gate = gate

    def forward(self, x):
        x = self.body(x).mean((2, 3))
        answers = [self.classifier(x), *(other(x) for other in self.others)]
        return answers[0] * answers[1].sigmoid() if self.gate else answers


def test_several_heads_of_the_same_features():
    heads = Heads(nn.Linear(8, 4), nn.Linear(8, 10)).eval()
    assert find_place(heads, IMAGES).pooled == "classifier"
    gated = Heads(nn.Linear(8, 1), gate=True).eval()
    assert find_place(gated, IMAGES).pooled is None


def test_a_network_that_is_known_to_have_no_classifier_is_read_at_its_output():
    body = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 1), nn.ReLU()]
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert find_place(network, IMAGES) == Place("2", True, "1")  # nothing else tells
    assert find_place(network, IMAGES, headless=True) == Place(maps="3")


@pytest.mark.parametrize(
    "activation", [nn.ReLU(True), nn.Hardswish(), nn.GELU(), nn.SiLU(True), nn.Tanh()]
)
@pytest.mark.parametrize("last", ["linear", "convolution"])
@torch.no_grad()
def test_a_last_layer_with_an_activation_behind_it_is_no_classifier(activation, last):
    """VGG without its classifier, and MobileNetV3: their last layer is as wide as the output."""
    body = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    linear = [nn.Flatten(), nn.Linear(6, 8), activation, nn.Dropout()]
    ends = {"linear": linear, "convolution": [nn.Conv2d(6, 8, 1), activation, nn.Flatten()]}
    network = nn.Sequential(*body, *ends[last]).eval()
    assert find_place(network, IMAGES).pooled is None
    _, values = read(network)
    torch.testing.assert_close(values[:, :8], network(IMAGES))


@torch.no_grad()
def test_an_activation_before_the_mean_over_locations_but_for_relu():
    """NFNet without its classifier; SqueezeNet's classifier has a ReLU there."""
    convolutions = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 1)]
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for activation in (nn.GELU(), nn.SiLU(), nn.Hardswish()):
        assert find_place(nn.Sequential(*convolutions, activation, *pooled), IMAGES).pooled is None
    assert find_place(nn.Sequential(*convolutions, nn.ReLU(), *pooled), IMAGES).pooled == "2"


@pytest.mark.parametrize("ending", [nn.Softmax(1), nn.LogSoftmax(1), nn.Sigmoid(), nn.Identity()])
def test_probabilities_are_made_by_a_classifier(ending):
    network = nn.Sequential(nn.Conv2d(3, 6, 24), nn.Flatten(), nn.Linear(6, 5), ending)
    assert find_place(network, IMAGES) == Place("2", True)


class Tokens(nn.Module):
    """A transformer's shape: a class token and other extra ones, then patches of 4 x 4."""

    def __init__(self, extra, head):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 6, 6)
        self.extra = nn.Parameter(torch.randn(1, extra, 6))
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 9) if head else None

    def tokens(self, x):
        patches = self.patches(x).flatten(2).transpose(1, 2)
        mixed = torch.cat([self.extra.expand(len(x), -1, -1) + patches.mean(1, True), patches], 1)
        return self.norm(mixed)

    def forward(self, x):
        found = self.tokens(x)
        return found if self.head is None else self.head(found[:, 0])


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("extra", [1, 5])
@torch.no_grad()
def test_the_class_token_and_the_patches(extra, head):
    network = Tokens(extra, head).eval()
    reader, values = read(network, grid=4)
    tokens = network.tokens(IMAGES)
    torch.testing.assert_close(values[:, :6], tokens[:, 0])
    patches = tokens[:, extra:].transpose(1, 2).reshape(3, 6, 4, 4)
    assert reader.shape == (6, 4, 4)
    torch.testing.assert_close(values[:, 6:].reshape(3, 6, 4, 4), patches)


@torch.no_grad()
def test_patches_alone_are_averaged():
    network = Tokens(0, False).eval()
    _, values = read(network)
    torch.testing.assert_close(values[:, :6], network.tokens(IMAGES).mean(1))


class ChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 5, 4)
        self.norm = nn.LayerNorm(7)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.norm(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2)))


@torch.no_grad()
def test_maps_with_channels_last():
    network = ChannelsLast().eval()
    reader, values = read(network)
    maps = network.norm(network.conv(IMAGES).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert reader.shape == (7, 2, 2)
    expected = F.adaptive_avg_pool2d(maps, 2)
    torch.testing.assert_close(values[:, 7:].reshape(3, 7, 2, 2), expected)


def test_a_network_of_maps_is_read_at_its_smallest():
    down = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 9, 3, 2, 1))
    network = nn.Sequential(down, nn.Upsample(scale_factor=4), nn.Conv2d(9, 2, 1))
    assert find_place(network, IMAGES) == Place("0")
    _, values = read(network)
    torch.testing.assert_close(values[:, :9], down(IMAGES).mean((2, 3)))


def test_others_are_read_at_their_output():
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())
    assert find_place(body, IMAGES) == Place()
    reader, values = read(body)
    assert reader.shape == (4, 2, 2)
    torch.testing.assert_close(values[:, :4], body(IMAGES).mean((2, 3)))
    embedding = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert find_place(embedding, IMAGES).pooled is None
    torch.testing.assert_close(read(embedding)[1][:, :4], embedding(IMAGES))


class Learned(Classifier):
    """Has weights of its own, as a vision transformer has a class token and positions."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(8, 1, 1))

    def maps(self, x):
        return super().maps(x) + self.place


def test_a_wrapper_changes_nothing():
    network = Learned().eval()
    assert find_place(network, IMAGES) == Place("fc", True, "block")
    wrapped = nn.Sequential(nn.Identity(), network)
    assert find_place(wrapped, IMAGES) == Place("1.fc", True, "1.block")
    twice = nn.Sequential(wrapped, nn.Softmax(1))
    assert find_place(twice, IMAGES) == Place("0.1.fc", True, "0.1.block")
    torch.testing.assert_close(read(wrapped)[1], read(network)[1])


def test_a_part_with_weights_that_ends_a_body_is_no_wrapper():
    class Pooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.project = nn.Parameter(torch.randn(6)), nn.Linear(6, 6)

        def forward(self, x):
            return self.project((x * self.query[:, None, None]).mean((2, 3)))

    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), Pooling())
    assert find_place(body, IMAGES).pooled is None


def test_one_number_an_image_without_a_dimension_of_its_own():
    class Number(Classifier):
        def forward(self, x):
            return super().forward(x)[:, 0]

    network = Number().eval()
    network.fc = nn.Linear(8, 1)
    assert find_place(network, IMAGES) == Place("fc", True, "block")
    reader, values = read(network, place=Place())
    assert reader.width == 1
    torch.testing.assert_close(values, network(IMAGES)[:, None])


def test_a_layer_that_is_used_twice_is_no_classifier():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.mix = nn.Conv2d(3, 5, 3), nn.Linear(5, 5)

        def forward(self, x):
            return self.mix(self.mix(self.conv(x).mean((2, 3))).relu())

    assert find_place(Twice(), IMAGES).pooled is None


def test_nothing_is_left_behind():
    network = Classifier().eval()
    read(network)
    for part in network.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks


def test_what_follows_may_write_into_features():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            pooled = self.conv(x).mean((2, 3))
            answer = self.fc(pooled)
            pooled.zero_()
            return answer

    network = InPlace().eval()
    _, values = read(network)
    with torch.no_grad():
        torch.testing.assert_close(values[:, :4], network.conv(IMAGES).mean((2, 3)))
