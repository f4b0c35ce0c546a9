"""Turns of postponed parts follow the speed of the engine."""

from consumer.domain.turns import PartTurns

LONGEST_S = 30.0


def at_work(part_s: float, slots: int = 2, parts: int = 40) -> tuple[PartTurns, float]:
    """Let so many parts end, of which `slots` are read at once, a moment apart; returns the time as well."""
    turns, now_s = PartTurns(), 1000.0
    for _ in range(slots):
        turns.begin(now_s)
    for _ in range(parts):
        now_s += part_s / slots
        turns.end(now_s)
        turns.begin(now_s)
    return turns, now_s


def delays_s(turns: PartTurns, now_s: float, count: int) -> list[float]:
    """Seconds after which so many parts come back that are postponed at one time."""
    given = [turns.next_s(now_s, LONGEST_S) for _ in range(count)]
    return [turn_s for turn_s in given if turn_s is not None]


def test_three_parts_come_back_for_each_that_ends() -> None:
    given = delays_s(*at_work(part_s=4.0), 30)
    assert len(given) == 30
    assert all(abs(turn_s - number * 2 / 3) < 0.1 for number, turn_s in enumerate(given, 1))


def test_a_turn_that_is_too_far_away_is_none() -> None:
    turns, now_s = at_work(part_s=4.0)
    assert len(delays_s(turns, now_s, 100)) in {44, 45}
    assert turns.next_s(now_s, LONGEST_S) is None
    assert turns.next_s(now_s + 1, LONGEST_S) is not None


def test_the_first_parts_come_back_soon_and_later_if_no_part_has_ended_by_then() -> None:
    turns = PartTurns()
    turns.begin(1000)
    assert max(delays_s(turns, 1000, 10)) < 1.1
    assert 3 < delays_s(turns, 1010, 1)[0] < 4


def test_parts_do_not_come_back_all_at_once_though_they_end_at_once() -> None:
    assert max(delays_s(*at_work(part_s=0.0), 100)) > 5


def test_the_time_without_a_part_does_not_count() -> None:
    turns, now_s = at_work(part_s=4.0)
    turns.end(now_s)
    turns.end(now_s)
    later_s = now_s + 10_000
    turns.begin(later_s)
    turns.begin(later_s)
    assert delays_s(turns, later_s, 1)[0] < 1.1
    assert turns.in_flight == 2
