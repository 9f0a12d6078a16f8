"""What a tag means, asked of a registry that speaks the real protocol."""

from collections.abc import Iterator

import pytest

from infrastructure.registries import ImageRefused
from infrastructure.registries.http import HttpRegistries, Reference, parse
from tests.images.registry import Registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    opened = Registry()
    yield opened
    opened.close()


@pytest.fixture
def locked() -> Iterator[Registry]:
    opened = Registry(user=("robot", "secret"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("nginx", ("docker.io", "library/nginx", "latest")),
        ("nginx:1.27", ("docker.io", "library/nginx", "1.27")),
        ("you/api", ("docker.io", "you/api", "latest")),
        ("ghcr.io/you/api:2", ("ghcr.io", "you/api", "2")),
        ("localhost:5000/api", ("localhost:5000", "api", "latest")),
        (f"ghcr.io/a/b:1@sha256:{'0' * 64}", ("ghcr.io", "a/b", f"sha256:{'0' * 64}")),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(image: str, parts: tuple[str, str, str]) -> None:
    assert parse(image) == Reference(*parts)


async def test_a_tag_has_a_digest_and_another_one_after_it_moved(registry: Registry) -> None:
    registries = HttpRegistries(private=[registry.host])
    image = f"{registry.host}/you/api:1"
    first = registry.push("you/api:1", "true")
    assert await registries.digest_of(image) == first
    second = registry.push("you/api:1", "false")
    assert await registries.digest_of(image) == second != first
    assert await registries.digest_of(f"{registry.host}/you/api@{first}") == first


async def test_what_is_not_there_is_refused_in_the_registrys_words(registry: Registry) -> None:
    registries = HttpRegistries(private=[registry.host])
    with pytest.raises(ImageRefused, match="404 manifest unknown"):
        await registries.digest_of(f"{registry.host}/you/api:9")


async def test_a_private_image_needs_the_right_credentials(locked: Registry) -> None:
    registries = HttpRegistries(private=[locked.host])
    digest = locked.push("you/api:1", "true")
    for image in (f"{locked.host}/you/api:1", f"{locked.host}/you/api@{digest}"):
        assert await registries.digest_of(image, username="robot", password="secret") == digest
        for username, password in ((None, None), ("robot", "wrong")):
            with pytest.raises(ImageRefused, match="401 incorrect username or password"):
                await registries.digest_of(image, username=username, password=password)


async def test_a_registry_inside_is_not_asked_unless_the_operator_says_so(
    registry: Registry,
) -> None:
    registry.push("you/api:1", "true")
    with pytest.raises(ImageRefused, match="TALLYPORT_PRIVATE_REGISTRIES"):
        await HttpRegistries().digest_of(f"{registry.host}/you/api:1")
    assert registry.asked == []


async def test_a_registry_that_does_not_answer_decides_nothing(registry: Registry) -> None:
    host = registry.host
    registry.close()
    registries, named = HttpRegistries(private=[host]), f"sha256:{'0' * 64}"
    assert await registries.digest_of(f"{host}/you/api:1") is None
    assert await registries.digest_of(f"{host}/you/api@{named}") == named
