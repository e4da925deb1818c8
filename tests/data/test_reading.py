"""Images from several parts in one array."""

import numpy as np

from draw_tf.data import tfds


def test_parts_of_any_length_become_one_array():
    pixels = np.random.RandomState(0).randint(0, 256, (9, 4, 3, 2)).astype(np.uint8)
    parts = iter([pixels[:4], pixels[4:4], pixels[4:5], pixels[5:]])
    np.testing.assert_array_equal(tfds.collect(parts, 9, (4, 3, 2), "some"), pixels)
    fewer = tfds.collect([pixels[:2]], 9, (4, 3, 2), "some")
    np.testing.assert_array_equal(fewer, pixels[:2])


def test_no_bar_where_there_is_no_terminal(capsys):
    tfds.collect([np.zeros((1, 2, 2, 1))] * 3, 3, (2, 2, 1), "some")
    assert capsys.readouterr() == ("", "")
