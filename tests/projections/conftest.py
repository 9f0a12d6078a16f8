import pytest

from tests.projections.asking import Gateway
from tests.wiring import Installation


@pytest.fixture
def gateway(installation: Installation) -> Gateway:
    """Serves requests: appends frames as the meter does."""
    return Gateway(installation)
