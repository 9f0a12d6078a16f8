"""The wiring of the certificate keeper: which authority it orders from, if any."""

import asyncio

from bootstrap.core import Core
from infrastructure.acme.library import AcmeAuthority
from infrastructure.certificates.inspecting import facts_of_pem
from projections.catalogue import VIEWS
from projections.certificates import CERTIFICATES
from projections.custom_domains import CUSTOM_DOMAINS
from projections.news import ViewNews
from projections.reading import Reader
from workers.certificates import CertificateKeeper


async def keep_certificates(core: Core) -> None:
    """Order certificates and renew them, where the gateways speak TLS. Never returns."""
    tls = core.settings.tls
    if not tls.port:
        await asyncio.Event().wait()
    store = core.certificates()
    authority = None
    if tls.acme_directory:
        authority = AcmeAuthority(
            tls.acme_directory, store, email=tls.acme_email, ca_file=tls.acme_ca_file
        )
    news = ViewNews(core.conninfo, {CUSTOM_DOMAINS.name, CERTIFICATES.name})
    reader = Reader(core.pool, core.conninfo, VIEWS)
    keeper = CertificateKeeper(core.bus(), reader, store, authority, facts_of_pem)
    try:
        await keeper.run(news)
    finally:
        await news.close()
        if authority is not None:
            await authority.close()
