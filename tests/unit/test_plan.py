"""Page images stay within their limit, and engines within the processors there are."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.plan import plan_page, share_processors

LENGTH = st.floats(1e-300, 1e9)
SCALE = st.floats(0.5, 17)
LIMIT = st.integers(10_000, 10**9)


@given(LENGTH, LENGTH, SCALE, LIMIT)
@settings(deadline=None)
def test_no_page_becomes_an_image_over_the_limit_or_without_pixels(
    width: float, height: float, scale: float, limit: int
) -> None:
    plan = plan_page(width, height, scale, limit)
    assert plan.width_px * plan.height_px <= limit
    assert min(plan.width_px, plan.height_px) >= 1
    assert 0 < plan.scale <= scale
    assert plan.downscaled is (plan.scale < scale)


@given(st.floats(1, 1e5), st.floats(1, 1e5), SCALE, st.integers(1, 10**9))
@settings(deadline=None)
def test_a_page_is_downscaled_only_when_it_does_not_fit_and_then_no_more_than_needed(
    width: float, height: float, scale: float, limit: int
) -> None:
    wanted = max(1, round(width * scale)) * max(1, round(height * scale))
    plan = plan_page(width, height, scale, limit)
    assert plan.downscaled is (wanted > limit)
    assert plan.width_px == max(1, round(width * plan.scale))
    assert plan.height_px == max(1, round(height * plan.scale))
    if plan.downscaled:
        larger = plan.scale * 1.002
        assert (round(width * larger) + 1) * (round(height * larger) + 1) > limit * 0.9


@pytest.mark.parametrize(
    ("width", "height", "scale", "limit"),
    [
        (0, 1, 2, 100),
        (1, -1, 2, 100),
        (math.nan, 1, 2, 100),
        (1, math.inf, 2, 100),
        (1e308, 1, 2, 100),
        (1e200, 1e200, 2, 100),
        (1, 1, 0, 100),
        (1, 1, 2, 0),
    ],
)
def test_a_page_without_a_size_or_of_an_absurd_one_is_refused(
    width: float, height: float, scale: float, limit: int
) -> None:
    with pytest.raises(ValueError, match="cannot be rendered"):
        plan_page(width, height, scale, limit)


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=64, unique=True),
    st.none() | st.integers(1, 80),
    st.integers(1, 80),
)
def test_every_engine_gets_a_share_and_no_processor_is_given_twice(
    cpus: list[int], quota: int | None, workers: int
) -> None:
    usable = min(len(cpus), quota or len(cpus))
    shares = share_processors(cpus, quota, workers)
    given_away = [cpu for share in shares for cpu in share.cpus]
    assert len(shares) == workers
    assert len(set(given_away)) == len(given_away)
    assert set(given_away) <= set(cpus)
    assert all(share.threads >= 1 and len(share.cpus) in {0, share.threads} for share in shares)
    # With more engines than processors each still needs one thread.
    assert sum(share.threads for share in shares) <= max(usable, workers)


def test_engines_have_processors_of_their_own_unless_a_quota_or_their_number_forbids_it() -> None:
    assert [share.cpus for share in share_processors([2, 3, 6, 7], None, 2)] == [(2, 3), (6, 7)]
    assert [share.cpus for share in share_processors([2, 3, 6, 7], 2, 2)] == [(), ()]
    assert [share.cpus for share in share_processors([2], None, 2)] == [(), ()]
