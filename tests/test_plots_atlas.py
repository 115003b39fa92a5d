"""The atlas' pictures: what is drawn where, and signs that say it without colour."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from coursekit import plots
from coursekit.plots.style import COLORS


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def words(fig):
    return [text.get_text() for text in fig.axes[0].texts]


def drawn(fig):
    """Every picture with its (left, top), from top to bottom and left to right."""
    found = []
    for image in fig.axes[0].images:
        left, _, _, top = image.get_extent()
        found.append(((top, left), np.asarray(image.get_array())))
    return [array for _, array in sorted(found, key=lambda item: item[0])]


def frames(fig, color):
    """(left, top, width, height) and line style of the frames of one colour."""
    return [
        (patch.get_bbox().bounds, patch.get_linestyle())
        for patch in fig.axes[0].patches
        if to_hex(patch.get_edgecolor()) == to_hex(color)
    ]


def check_legible(fig):
    """No words run into others."""
    fig.canvas.draw()
    texts = [text for text in fig.axes[0].texts if not text.get_rotation()]
    boxes = [text.get_window_extent().padded(-0.5) for text in texts]
    for (one, box), (other, other_box) in combinations(zip(texts, boxes, strict=True), 2):
        assert not box.overlaps(other_box), f"{one.get_text()!r} on {other.get_text()!r}"


# ------------------------------------------------------------------------------------- filters


def test_filters_share_a_scale_on_which_zero_is_grey(rng):
    weight = rng.uniform(-1, 1, (10, 3, 5, 4))
    weight[3] *= 1e-3
    fig = plots.filter_sheet(weight, columns=4)
    pictures = drawn(fig)
    np.testing.assert_allclose(pictures[3], 0.5, atol=1e-3)
    limit = np.percentile(np.abs(weight), 99.5)
    expected = (0.5 + weight / (2 * limit)).clip(0, 1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pictures, expected)
    assert words(fig)[:10] == [str(i) for i in range(10)]
    assert words(fig)[10] == f"one scale for all: grey is 0, full colour is ±{limit:.2g}"
    check_legible(fig)


def test_dead_and_duplicate_filters_carry_a_sign_and_a_frame_of_their_own(rng):
    weight = rng.standard_normal((6, 1, 3, 3))
    fig = plots.filter_sheet(weight, dead=[4], duplicates=[(0, 2, 0.95), (2, 5, 0.93)], columns=3)
    assert words(fig)[:6] == ["0 ≈ 2", "1", "2 ≈ 0 +1", "3", "4 × dead", "5 ≈ 2"]
    (dead,) = frames(fig, COLORS[2])
    assert dead[1] == "--"
    twins = frames(fig, COLORS[0])
    assert len(twins) == 3 and {style for _, style in twins} == {"-"}
    check_legible(fig)


def test_idle_filters_are_drawn_grey():
    assert (np.array(drawn(plots.filter_sheet(np.zeros((2, 3, 3, 3))))) == 0.5).all()


def test_deep_filters_are_refused():
    with pytest.raises(ValueError, match=r"weight must have shape \(N, 1 or 3, H, W\)"):
        plots.filter_sheet(np.zeros((4, 16, 3, 3)))


def test_filters_over_training_are_rows_and_epochs_columns(rng):
    weights = [rng.uniform(-1, 1, (4, 3, 2, 2)) for _ in range(3)]
    fig = plots.filters_over_training(weights, [0, 1, 5], filters=[2, 0])
    shown = np.array([[w[i] for w in weights] for i in (2, 0)])
    limit = np.percentile(np.abs(shown), 99.5)
    expected = (0.5 + shown / (2 * limit)).clip(0, 1).reshape(-1, 3, 2, 2).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(drawn(fig), expected)
    assert words(fig)[:5] == ["epoch 0", "1", "5", "filter 2", "filter 0"]
    assert len(drawn(plots.filters_over_training(weights, [0, 1, 5]))) == 12
    check_legible(fig)


# ---------------------------------------------------------------------------------- convolution


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2)])
def test_sliding_window_writes_the_convolution(rng, stride, padding):
    torch = pytest.importorskip("torch")
    image, kernel = rng.integers(-4, 9, (6, 5)), rng.integers(-2, 3, (2, 3))
    out = torch.nn.functional.conv2d(
        torch.tensor(image[None, None]),
        torch.tensor(kernel[None, None]),
        stride=stride,
        padding=padding,
    )[0, 0].numpy()
    place = tuple(int(n) - 1 for n in out.shape)
    fig = plots.sliding_window(image, kernel, [(0, 0), place], stride=stride, padding=padding)
    top = place[0] * stride, place[1] * stride
    patch = np.pad(image, padding)[top[0] : top[0] + 2, top[1] : top[1] + 3]
    numbers = [w.replace("−", "-") for w in words(fig) if w.lstrip("−").isdigit()]
    last = [patch, kernel, patch * kernel, out]
    expected = [str(value) for grid in last for value in grid.ravel()]
    assert numbers[-len(expected) :] == expected
    first = numbers[: np.pad(image, padding).size + 3 * kernel.size + 1]
    assert first[-1] == str(out[0, 0])
    windows = [box for box, _ in frames(fig, COLORS[2])][::2]
    moved = np.subtract(windows[1][:2], windows[0][:2])[0]
    assert moved == pytest.approx(place[1] * stride)
    check_legible(fig)


def test_padding_is_slanted_and_places_lie_in_the_output():
    fig = plots.sliding_window(np.ones((2, 2)), np.ones((2, 2)), [(0, 0)], padding=1)
    slanted = [t.get_text() for t in fig.axes[0].texts if t.get_style() == "italic"]
    assert slanted == ["0"] * 12
    for place in ((3, 0), (0, 3), (-1, 0)):
        with pytest.raises(ValueError, match="places must lie in the output, 3×3, got"):
            plots.sliding_window(np.ones((2, 2)), np.ones((2, 2)), [(0, 0), place], padding=1)


# ---------------------------------------------------------------------------------- activations


def test_activation_maps_show_the_strongest_channels_of_every_layer(rng):
    image = rng.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    maps = {"conv": rng.standard_normal((5, 8, 8)), "relu": rng.uniform(0, 3, (2, 4, 4))}
    fig = plots.activation_maps(image, maps, columns=3)
    picture, *shown = drawn(fig)
    np.testing.assert_allclose(picture, image.transpose(1, 2, 0) / 255)
    order = [np.argsort(-m.mean(axis=(1, 2)))[:3] for m in maps.values()]
    expected = [m[c] for m, channels in zip(maps.values(), order, strict=True) for c in channels]
    for array, wanted in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
    limits = [image.get_clim() for image in fig.axes[0].images[1:]]
    assert len(set(limits)) == 2 and limits[0] == (maps["conv"].min(), maps["conv"].max())
    assert limits[-1] == (0, maps["relu"].max())
    labels = [w for w in words(fig) if "\n" in w]
    assert labels[1].startswith("relu\n2×4×4\n0 to ")
    numbers = [w for w in words(fig) if w.isdigit()]
    assert numbers == [str(c) for channels in order for c in channels]
    check_legible(fig)


# ---------------------------------------------------------------------------------- top patches


def test_patches_are_what_the_frame_surrounds(rng):
    images = rng.integers(0, 256, (4, 3, 8, 6), dtype=np.uint8)
    boxes = np.array([[[0, 0, 2, 3], [3, 1, 7, 5]], [[5, 3, 8, 6], [2, 2, 6, 6]]])
    pictures = np.array([[3, 0], [1, 2]])
    fig = plots.top_patches(images, pictures, boxes, [7, 2], values=np.array([[2.5, 1], [0.5, 0]]))
    whole = images.transpose(0, 2, 3, 1) / 255
    arrays = [np.asarray(image.get_array()) for image in fig.axes[0].images]
    for (top, left, bottom, right), i, patch, picture in zip(
        boxes.reshape(-1, 4), pictures.ravel(), arrays[::2], arrays[1::2], strict=True
    ):
        np.testing.assert_allclose(patch, whole[i, top:bottom, left:right])
        np.testing.assert_allclose(picture, whole[i])
    # The frame lies on its picture's own pixels.
    (x, y, width, height), _ = frames(fig, COLORS[2])[1]
    left, right, bottom, top = fig.axes[0].images[3].get_extent()
    pixel = (right - left) / 6
    np.testing.assert_allclose((x - left) / pixel, 1)
    np.testing.assert_allclose((y - top) / pixel, 3)
    np.testing.assert_allclose([width / pixel, height / pixel], 4)
    texts = words(fig)
    assert {"unit 7", "unit 2", "2.5", "0.5", "patches, and the unit's output"} <= set(texts)
    check_legible(fig)


def test_a_patch_cut_off_is_enlarged_alike_and_blank_where_it_was_cut(rng):
    images = rng.random((1, 1, 8, 8))
    boxes = np.array([[[2, 2, 6, 6], [0, 0, 2, 3], [6, 4, 8, 8]]])
    fig = plots.top_patches(images, np.zeros((1, 3), int), boxes, [0])
    whole, corner, bottom_edge = (image.get_extent() for image in fig.axes[0].images[::2])
    side = whole[1] - whole[0]
    assert side == pytest.approx(1)
    np.testing.assert_allclose(corner[1] - corner[0], 3 / 4)
    np.testing.assert_allclose(corner[2] - corner[3], 2 / 4)
    np.testing.assert_allclose(corner[2], whole[2])  # cut above: the patch lies at the bottom
    np.testing.assert_allclose(corner[1], whole[1] + 1.08)  # cut left: at the right
    np.testing.assert_allclose(bottom_edge[3], whole[3])  # cut below: at the top
    np.testing.assert_allclose(bottom_edge[1] - bottom_edge[0], 1)


# ------------------------------------------------------------------------------------------ heat


def test_heat_is_orange_and_solid_for_purple_and_dashed_against():
    images = np.full((1, 3, 16, 12), 0.5)
    heat = np.zeros((1, 16, 12))
    heat[0, 2:6, 2:6], heat[0, 10:14, 6:10] = 2, -1.9
    fig = plots.heat_overlays(images, {"both": heat, "for": heat.clip(0)}, titles=["a cat"])
    picture, both, positive = drawn(fig)
    np.testing.assert_allclose(picture, 0.5)
    red, _, blue = both[3, 3]
    assert red > 0.8 and blue < 0.1
    red, _, blue = both[12, 8]
    assert blue > 0.5 and red < 0.4
    np.testing.assert_allclose(both[8, 0], 0.7)  # no heat: the pale picture
    np.testing.assert_allclose(positive[12, 8], 0.7)
    lines = [
        c for c in fig.axes[0].collections if len(c.get_paths()) and c.get_paths()[0].vertices.size
    ]
    solid = [c for c in lines if c.get_linestyle()[0][1] is None]
    assert len(lines) == 6 and len(solid) == 4  # each on a white edge
    extent = fig.axes[0].images[1].get_extent()
    around = solid[0].get_paths()[0].vertices.mean(axis=0)
    pixel = (extent[1] - extent[0]) / 12
    np.testing.assert_allclose((around - [extent[0], extent[3]]) / pixel, 4, atol=0.3)
    assert words(fig)[:4] == ["picture", "both", "for", "a cat"]
    check_legible(fig)


def test_no_heat_at_all_is_a_pale_picture():
    fig = plots.heat_overlays(np.zeros((1, 1, 4, 4)), {"none": np.zeros((1, 4, 4))})
    np.testing.assert_allclose(drawn(fig)[1], 0.4)
    assert not fig.axes[0].collections


# -------------------------------------------------------------------------------------- mistakes


def test_letters_stand_in_the_cells_of_the_mistakes_shown(rng):
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    answers = np.array([0, 2, 2, 1, 0, 2, 2, 1])
    images = rng.random((8, 3, 4, 4))
    groups = [np.array([2, 1]), np.array([4])]
    fig = plots.confusion_gallery(
        images, labels, answers, ["cat", "dog", "car"], groups, confidence=np.linspace(0.3, 1, 8)
    )
    matrix = fig.axes[0].images[0]
    np.testing.assert_allclose(
        np.asarray(matrix.get_array()), [[1 / 3, 0, 2 / 3], [1 / 2, 1 / 2, 0], [0, 1 / 3, 2 / 3]]
    )
    left, right, _, top = matrix.get_extent()
    cell = (right - left) / 3
    at = {text.get_text(): text.get_position() for text in fig.axes[0].texts}
    for letter, (row, column) in {"A": (0, 2), "B": (1, 0)}.items():
        x, y = at[letter]
        assert (int((y - top) / cell), int((x - left) / cell)) == (row, column)
    assert "A  cat taken for car: 2 of 3" in at and "B  dog taken for cat: 1 of 2" in at
    shown = [np.asarray(image.get_array()) for image in fig.axes[0].images[1:]]
    np.testing.assert_allclose(shown, images[[2, 1, 4]].transpose(0, 2, 3, 1))
    sureness = [w for w in words(fig) if w.endswith(" %")]
    assert sureness == ["50 %", "40 %", "70 %"]
    check_legible(fig)


@pytest.mark.parametrize("groups", [[], [np.array([1]), np.array([], int)]])
def test_a_gallery_without_mistakes_is_refused(groups):
    with pytest.raises(ValueError, match="groups must hold pictures, got sizes"):
        plots.confusion_gallery(np.zeros((2, 3, 4, 4)), [0, 1], [0, 0], ["a", "b"], groups)
