"""Finds the image of a replica: pinned by its siblings, predefined, already here, or pulled."""

import io
import threading
from collections.abc import Collection, Sequence

import docker
import requests
import structlog
from docker.errors import APIError, DockerException, ImageNotFound
from urllib3.exceptions import ReadTimeoutError

from infrastructure.containers import (
    Catalogue,
    CatalogueImage,
    EngineUnavailable,
    ImageMissing,
    LocalImage,
    ReplicaSpec,
)
from infrastructure.containers.docker_builds import DockerBuilds
from infrastructure.sources import SourceReference, source_of

log = structlog.get_logger()


class PatientClient(docker.APIClient):  # type: ignore[misc]  # the library has no types
    """Waits long, but never for ever: by itself the library has no limit on pulls and builds."""

    def _set_request_timeout(self, kwargs: dict[str, object]) -> dict[str, object]:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        return kwargs


class DockerImages:
    """Answers with the id of the image's content, which is what a container is made from."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        host: str,
        pull_seconds_max: int,
        builds: DockerBuilds | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._builds = builds
        self._host = host
        self._pull_seconds_max = pull_seconds_max
        self._making = threading.Lock()

    def find(
        self, api: docker.APIClient, spec: ReplicaSpec, *, beside: Sequence[str]
    ) -> str | None:
        """Return the image's id where it is here already: this takes no time.

        All replicas of one revision run the same content, also when the tag has moved since.
        """
        for image_id in beside:
            if found := _id_of(api, image_id):
                return found
        predefined = self._catalogue.find(spec.image)
        if predefined is not None:
            return _id_of(api, _reference(predefined, predefined.build()))
        source = source_of(spec.image)
        if source is not None and self._builds is not None:
            return _id_of(api, self._builds.reference(source))
        return _id_of(api, spec.image)

    def fetch(self, api: docker.APIClient, spec: ReplicaSpec) -> str:
        """Make, build or pull the image, and return its id: this may take minutes."""
        source = source_of(spec.image)
        if source is not None:
            return self._built(api, spec, source)
        predefined = self._catalogue.find(spec.image)
        if predefined is None:
            return self._pulled(api, spec)
        with self._making:
            return self._made(api, predefined)

    def prune(self, api: docker.APIClient, kept: Collection[str]) -> int:
        """Remove what was built of other code than this; return how many."""
        return 0 if self._builds is None else self._builds.prune(api, kept)

    def clear(self, api: docker.APIClient) -> None:
        """Remove what was built."""
        if self._builds is not None:
            self._builds.remove_all(api)

    def _built(self, api: docker.APIClient, spec: ReplicaSpec, source: SourceReference) -> str:
        if self._builds is None:
            raise ImageMissing("uploaded code is not built here")
        slow = self._patient(api)
        try:
            found = _id_of(slow, self._builds.make(slow, spec, source))
        finally:
            slow.close()
        if found is None:
            raise ImageMissing(f"the image of {spec.image} could not be built")
        return found

    def _made(self, api: docker.APIClient, predefined: CatalogueImage) -> str:
        image = predefined.build()
        reference = _reference(predefined, image)
        if found := _id_of(api, reference):
            return found
        log.info("making a predefined image", image=reference)
        engine = api.info()
        slow = self._patient(api)
        try:
            if (engine["OSType"], engine["Architecture"]) == ("linux", image.architecture):
                slow.import_image_from_data(
                    image.archive(),
                    repository=predefined.image,
                    tag=image.content_hash,
                    changes=list(image.changes),
                )
            else:
                _build(slow, reference, image.context())
        finally:
            slow.close()
        found = _id_of(api, reference)
        if found is None:
            raise ImageMissing(f"the predefined image {predefined.image} could not be made")
        return found

    def _pulled(self, api: docker.APIClient, spec: ReplicaSpec) -> str:
        auth = spec.registry_auth
        sign_in = None
        if auth is not None:
            sign_in = {"username": auth.username, "password": auth.password}
        repository, tag = _split(spec.image)
        slow = self._patient(api)
        try:
            for progress in slow.pull(
                repository, tag=tag, auth_config=sign_in, stream=True, decode=True
            ):
                if "error" in progress:
                    raise ImageMissing(f"image {spec.image} not found: {progress['error']}")
        except APIError as error:
            raise ImageMissing(f"image {spec.image} not found: {error.explanation}") from error
        except (requests.ReadTimeout, ReadTimeoutError) as error:
            limit = self._pull_seconds_max
            raise ImageMissing(f"image {spec.image}: nothing came for {limit} s") from error
        except DockerException as error:
            raise EngineUnavailable(f"the pull of {spec.image} broke off: {error}") from error
        finally:
            slow.close()
        found = _id_of(api, spec.image)
        if found is None:
            raise ImageMissing(f"image {spec.image} not found: the pull brought nothing")
        return found

    def _patient(self, api: docker.APIClient) -> docker.APIClient:
        """Return a second client for what takes long: a pull says nothing for minutes."""
        return PatientClient(
            base_url=self._host, version=api.api_version, timeout=self._pull_seconds_max
        )


def _reference(predefined: CatalogueImage, image: LocalImage) -> str:
    return f"{predefined.image}:{image.content_hash}"


def _build(api: docker.APIClient, reference: str, context: bytes) -> None:
    for progress in api.build(
        fileobj=io.BytesIO(context), custom_context=True, tag=reference, rm=True, decode=True
    ):
        if "error" in progress:
            raise ImageMissing(f"image {reference} could not be built: {progress['error']}")


def _id_of(api: docker.APIClient, reference: str) -> str | None:
    try:
        found: str = api.inspect_image(reference)["Id"]
    except ImageNotFound:
        return None
    return found


def _split(image: str) -> tuple[str, str]:
    """Return repository and tag (or digest); without one the engine would pull every tag."""
    if "@" in image:
        named, digest = image.split("@", 1)
        return _split(named)[0], digest
    if ":" in image.rsplit("/", 1)[-1]:
        repository, tag = image.rsplit(":", 1)
        return repository, tag
    return image, "latest"
