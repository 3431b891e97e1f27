from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from snt_zoo.service.metrics import Metrics


def test_answers_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics(supernets=lambda: 3, busy=lambda: 1)
    for status in (200, 200, 404):
        metrics.note("/v1/supernets/{id}", "GET", status, 0.02)
    families = {each.name: each for each in text_string_to_metric_families(metrics.text().decode())}
    counts = {
        one.labels["status"]: one.value
        for one in families["snt_zoo_requests"].samples
        if one.name.endswith("_total")
    }
    assert counts == {"200": 2.0, "404": 1.0}
    assert families["snt_zoo_supernets"].samples[0].value == 3.0
    assert families["snt_zoo_work"].samples[0].value == 1.0
    sums = [one for one in families["snt_zoo_request_seconds"].samples if one.name.endswith("_count")]
    assert [one.value for one in sums] == [3.0]


def test_two_applications_in_one_process_count_apart() -> None:
    first, second = (Metrics(supernets=lambda: 0, busy=lambda: 0) for _ in range(2))
    first.note("/x", "GET", 200, 0.1)
    assert b'route="/x"' in first.text() and b'route="/x"' not in second.text()
