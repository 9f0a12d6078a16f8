"""The document fetcher's wiring. It runs where replicas can be reached: beside the provisioner."""

from bootstrap.core import Core
from infrastructure.documents.replica import ReplicaDocuments
from projections.catalogue import VIEWS
from projections.deployments import DEPLOYMENTS
from projections.news import ViewNews
from projections.portals import PORTALS
from projections.reading import Reader
from workers.document_fetcher import DocumentFetcher


async def fetch_documents(core: Core) -> None:
    """Fetch documents from the deployments that have them. Never returns."""
    domain = core.settings.gateway.apps_domain
    news = ViewNews(core.conninfo, {PORTALS.name, DEPLOYMENTS.name})
    documents = ReplicaDocuments()
    fetcher = DocumentFetcher(
        core.bus(),
        Reader(core.pool, core.conninfo, VIEWS),
        news,
        documents,
        host_of=lambda app_name: f"{app_name}.{domain}",
    )
    try:
        await fetcher.run()
    finally:
        await news.close()
        await documents.close()
