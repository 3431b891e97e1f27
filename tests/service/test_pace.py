from __future__ import annotations

from snt_zoo.service.pace import BURST, Pace


def test_a_client_may_ask_for_a_few_at_once_and_then_at_a_steady_rate() -> None:
    now = 0.0
    pace = Pace(2.0, clock=lambda: now)
    assert [pace.allows("a") for _ in range(int(2 * BURST) + 2)] == [True] * int(2 * BURST) + [False] * 2
    assert pace.allows("b"), "another client has its own"
    now = 0.5
    assert pace.allows("a") and not pace.allows("a")
    now = 1_000.0
    assert sum(pace.allows("a") for _ in range(100)) == int(2 * BURST)


def test_without_a_rate_there_is_no_bound() -> None:
    assert all(Pace(None).allows("a") for _ in range(1_000))


def test_the_slowest_rate_lets_one_through() -> None:
    assert Pace(0.001, clock=lambda: 0.0).allows("a")


def test_buckets_of_many_clients_are_not_kept_for_ever() -> None:
    pace = Pace(1.0, clock=lambda: 0.0)
    for number in range(10_050):
        assert pace.allows(str(number))
    assert len(pace._buckets) == 10_000
