"""The metrics, read by the parsers of Prometheus' own client for Python."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from conftest import DEADLINE, connect, free_address, wait_until


def read(address):
    """The families of metrics at an address, by name, and the content type."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=DEADLINE) as answer:
        text = answer.read().decode()
        families = text_string_to_metric_families(text)
        return {family.name: family for family in families}, answer.headers["Content-Type"]


def value(families, name, **labels):
    """The value of one sample; None if there is no such sample."""
    samples = (sample for family in families.values() for sample in family.samples)
    found = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
    assert len(found) <= 1, f"{name} {labels} stands twice"
    return found[0] if found else None


def test_prometheus_reads_counters_gauges_and_a_histogram(site):
    address = ":".join(map(str, free_address()))
    site.backend("echo")
    site.launch(f"""
        metrics = "{address}";
        servers = ( {{
            addr = "{site.host}"; port = {site.port};
            websocket = {{ docroot = "{site.run}"; }};
        }} );
    """)
    with connect(site.url("echo")) as client:
        client.send("12345")
        assert client.recv(timeout=DEADLINE) == "12345"
        server = f"http://{site.host}:{site.port}"
        families, kind = read(address)
        assert kind == "text/plain; version=0.0.4; charset=utf-8"
        assert value(families, "ouistiti_clients", server=server) == 1
    ended = lambda: value(read(address)[0], "ouistiti_closes_total", code="1000") == 1
    wait_until("the end to be counted", ended)
    families, _ = read(address)
    for family in families.values():
        assert family.name.startswith("ouistiti_") and family.documentation, family
        assert family.type in ("counter", "gauge", "histogram"), family
    assert families["ouistiti_connections"].type == "counter"
    assert value(families, "ouistiti_backend_sent_bytes_total") == 5
    assert value(families, "ouistiti_client_sent_bytes_total") == 5
    histogram = families["ouistiti_websocket_duration_seconds"]
    assert histogram.type == "histogram"
    buckets = [s.value for s in histogram.samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == 1
    assert value(families, "ouistiti_websocket_duration_seconds_count") == 1
