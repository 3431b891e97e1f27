from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from snt_zoo.search.interruption import Stopped, StopSignals, terminating

CTRL_C, TERM = signal.SIGINT, signal.SIGTERM


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Both signals are heard whatever the shell ignores, and afterwards handled as before."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (CTRL_C, TERM)}
    yield
    assert all(signal.getsignal(number) is signal.default_int_handler for number in before)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [CTRL_C, TERM])
def test_the_first_signal_is_noted_and_the_second_stops_at_once(number: signal.Signals) -> None:
    with pytest.raises(Stopped) as caught, StopSignals() as stops:
        signal.raise_signal(number)
        assert stops.received == number
        signal.raise_signal(TERM)
    assert caught.value.signal == TERM and isinstance(caught.value, KeyboardInterrupt)


def test_who_is_patient_only_notes_them() -> None:
    with StopSignals(patient=True) as stops:
        for number in (TERM, CTRL_C, CTRL_C):
            signal.raise_signal(number)
    assert stops.received == TERM


def test_where_nothing_is_lost_a_signal_stops_at_once() -> None:
    with StopSignals() as stops, pytest.raises(Stopped), stops.at_once():
        signal.raise_signal(CTRL_C)
    with StopSignals() as stops:
        signal.raise_signal(CTRL_C)
        with pytest.raises(Stopped), stops.at_once():
            pytest.fail("it was asked to stop before")


def test_what_is_not_active_leaves_signals_alone() -> None:
    with StopSignals(active=False) as stops, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(CTRL_C)
    assert stops.received == 0


def test_sigterm_ends_a_command_as_ctrl_c_does() -> None:
    with pytest.raises(Stopped) as caught, terminating():
        signal.raise_signal(TERM)
    assert caught.value.signal == TERM
