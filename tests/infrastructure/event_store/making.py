"""Events whose content does not matter."""

from uuid import UUID, uuid4

from infrastructure.event_store import Idempotency, NewEvent

TOPIC = "deployments.DeploymentScaled@1"


def new_event(stream_id: str, version: int, *, event_id: UUID | None = None) -> NewEvent:
    return NewEvent(
        stream_id=stream_id,
        version=version,
        topic=TOPIC,
        data=b'{"replicas":2,"previously":1}',
        event_id=event_id or uuid4(),
    )


def idempotency(key: bytes = b"key", answer: bytes = b"answer") -> Idempotency:
    return Idempotency(key=key, fingerprint=b"body", answer=answer)
