"""The table of contents: every view that the projection runner keeps."""

from typing import Any

from projections.alerts import ALERT_MAILS, ALERT_RULES, ALERTS
from projections.api_keys import API_KEYS, KEY_CALLS, KEY_USAGE
from projections.audit import AUDIT
from projections.certificates import CERTIFICATES
from projections.custom_domains import CUSTOM_DOMAINS
from projections.departures import DEPARTURES
from projections.deployments import DEPLOYMENTS
from projections.erasures import ERASURES
from projections.gateway import HOSTS, KEYS, ROUTES
from projections.identity import SESSIONS, USERS
from projections.mail import MAILS
from projections.notices import ANNOUNCEMENTS, MAINTENANCE
from projections.passkeys import PASSKEYS
from projections.portals import PORTAL_DOCUMENTS, PORTALS
from projections.quotas import QUOTAS
from projections.revisions import REVISIONS
from projections.second_factors import SECOND_FACTORS
from projections.teams import INVITATIONS, MEMBERS, TEAMS
from projections.usage import REQUEST_TOTALS
from projections.view import View
from projections.webhooks import WEBHOOKS

VIEWS: tuple[View[Any], ...] = (
    USERS,
    SESSIONS,
    TEAMS,
    MEMBERS,
    INVITATIONS,
    DEPARTURES,
    SECOND_FACTORS,
    ERASURES,
    PASSKEYS,
    API_KEYS,
    KEY_USAGE,
    KEY_CALLS,
    DEPLOYMENTS,
    REVISIONS,
    CUSTOM_DOMAINS,
    CERTIFICATES,
    QUOTAS,
    PORTALS,
    PORTAL_DOCUMENTS,
    ROUTES,
    HOSTS,
    KEYS,
    REQUEST_TOTALS,
    WEBHOOKS,
    MAILS,
    ALERTS,
    ALERT_RULES,
    ALERT_MAILS,
    ANNOUNCEMENTS,
    MAINTENANCE,
    AUDIT,
)
