"""Tensors come back with the shapes, dtypes and bits they were kept with."""

import numpy as np

from lifecycle.domain.digests import tensors_digests
from lifecycle.dossier.weights import packed, unpacked


def test_shapes_and_bits_come_back() -> None:
    tensors = {
        "norm.num_batches_tracked": np.array(7, dtype=np.int64),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "empty": np.zeros((0, 3)),
        "minus zero": np.array([-0.0, 5e-324]),
    }
    back = unpacked(packed(tensors))
    assert {k: (v.shape, v.dtype) for k, v in back.items()} == {
        k: (v.shape, v.dtype) for k, v in tensors.items()
    }
    assert np.signbit(back["minus zero"][0])
    assert tensors_digests(back) == tensors_digests(tensors)
