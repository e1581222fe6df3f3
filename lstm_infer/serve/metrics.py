"""What is counted for Prometheus."""

import time

from .settings import need

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counts of a server, with those of its models' schedulers as they are when somebody asks.

    Parameters
    ----------
    repository : Repository
    """

    def __init__(self, repository):
        client = need("prometheus_client")
        self._client, self._repository = client, repository
        self._registry = client.CollectorRegistry()
        labels = ["protocol", "status"]
        self._requests = client.Counter("lstm_infer_requests", "Requests.", labels, registry=self._registry)
        self._latency = client.Histogram(
            "lstm_infer_request_seconds", "Time from a request's arrival to its answer.", ["protocol"],
            buckets=BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._counted = {}  # by protocol and status: what is looked up in the two above
        self._streams = client.Gauge("lstm_infer_websockets", "Open WebSocket streams.", registry=self._registry)
        self._registry.register(self)

    def count(self, protocol, status, began):
        """Count a request that has been answered; `began` by ``time.perf_counter``."""
        key = protocol, status
        if key not in self._counted:
            self._counted[key] = self._requests.labels(protocol, str(status)), self._latency.labels(protocol)
        number, latency = self._counted[key]
        number.inc()
        latency.observe(time.perf_counter() - began)

    def stream(self, change):
        """Count a WebSocket that has opened (1) or closed (-1)."""
        self._streams.inc(change)

    def text(self):
        """Return all, as Prometheus reads it."""
        return self._client.generate_latest(self._registry)

    def describe(self):
        """Say nothing before it is asked for: the models are not there yet."""
        return []

    def collect(self):
        """Yield what the schedulers count."""
        core, gauges = need("prometheus_client.core"), {}

        def gauge(name, text, kind=core.GaugeMetricFamily):
            gauges[name] = kind(f"lstm_infer_{name}", text, labels=["model", "version"])

        gauge("rows_live", "Sequences that are computed now.")
        gauge("rows_queued", "Sequences that wait.")
        gauge("sessions", "Streams with a state.")
        gauge("rounds", "Passes of the kernels over all live rows.", core.CounterMetricFamily)
        gauge("row_rounds", "Rows in them: over rounds, the batch occupancy.", core.CounterMetricFamily)
        gauge("row_timesteps", "Timesteps computed.", core.CounterMetricFamily)
        ended = core.CounterMetricFamily(
            "lstm_infer_model_requests", "Requests by how they ended.", labels=["model", "version", "how"]
        )
        for served in self._repository.all():
            stats, key = served.scheduler.stats(), [served.name, served.version]
            streams = len(served.streams.pool) if served.streams is not None else 0
            numbers = stats.live, stats.queued, streams, stats.rounds, stats.row_rounds, stats.row_timesteps
            for metric, number in zip(gauges.values(), numbers, strict=True):
                metric.add_metric(key, number)
            for how in ("completed", "failed", "expired", "cancelled", "refused"):
                ended.add_metric([*key, how], getattr(stats, how))
        yield from gauges.values()
        yield ended
