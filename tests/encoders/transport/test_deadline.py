from __future__ import annotations

import pytest

from snt_zoo.encoders.transport.deadline import Deadline
from snt_zoo.errors import TimeLimitError


def test_it_is_over_when_its_seconds_are(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("snt_zoo.encoders.transport.deadline.time.monotonic", lambda: now[0])
    five, never = Deadline.after(5.0), Deadline.after(None)
    now[0] = 104.0
    five.check("it")
    assert five.left() == 1.0
    now[0] = 106.0
    assert five.left() == -1.0
    with pytest.raises(TimeLimitError, match="it did not end within its time: give it more, take fewer"):
        five.check("it")
    now[0] = 1e12
    never.check("it")
