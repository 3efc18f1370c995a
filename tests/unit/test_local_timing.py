"""What the bench says of two samples of times: apart, or noise."""

import random

from deploy.local.bench_timing import apart


def test_what_cannot_be_told_apart_is_within_the_noise() -> None:
    """Two samples of one distribution: half of the pairs each way, give or take what chance gives."""
    chance = random.Random(7)
    one, other = ([chance.gauss(10, 2) for _ in range(1_000)] for _ in range(2))
    said = apart(one, other)
    assert abs(said["apart"] - 0.5) < said["noise"] < 0.03


def test_a_tenth_of_a_deviation_shows() -> None:
    """A shift far smaller than the spread is seen in a thousand each way; turned round it is seen the other way."""
    chance = random.Random(7)
    slower, faster = ([chance.gauss(middle, 2) for _ in range(1_000)] for middle in (10.4, 10.0))
    assert apart(slower, faster)["apart"] > 0.5 + apart(slower, faster)["noise"]
    assert apart(faster, slower)["apart"] < 0.5 - apart(faster, slower)["noise"]


def test_equal_times_are_half() -> None:
    """Times that are the same tell nothing."""
    assert apart([1.0] * 10, [1.0] * 10)["apart"] == 0.5
