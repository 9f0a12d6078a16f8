"""What the analytics tell about themselves."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class AnalyticsMetrics:
    """The projector's metrics, registered once per process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.lag = Gauge(
            "tallyport_analytics_lag_seconds",
            "Age of the newest stored request frame when it was stored",
            registry=registry,
        )
        self.position = Gauge(
            "tallyport_analytics_position",
            "Position in the log up to which requests are stored",
            ["partition"],
            registry=registry,
        )
        self.frames = Counter(
            "tallyport_analytics_frames_total", "Request frames stored", registry=registry
        )
        self.rows = Counter(
            "tallyport_analytics_rows_total", "Request rows inserted", registry=registry
        )
        self.failures = Counter(
            "tallyport_analytics_failures_total", "What went wrong", ["kind"], registry=registry
        )
