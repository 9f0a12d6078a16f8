"""The closed list of events. A stable name and schema version for each, promised for ever.

A new kind of event is one more line. A changed one is the next version: its topic here becomes
`@N+1`, and `UPCASTERS` gets the function that lifts a stored `@N`. The golden file of the version
before stays in `tests/golden_events/` for ever.
"""

from collections.abc import Callable

import msgspec

from domain.administration import events as administration
from domain.alerts import events as alerts
from domain.api_keys import events as api_keys
from domain.audit import events as audit
from domain.certificates import events as certificates
from domain.custom_domains import events as custom_domains
from domain.deployments import events as deployments
from domain.identity import events as identity
from domain.kernel import events as kernel
from domain.mail import events as mail
from domain.metering import events as metering
from domain.portals import events as portals
from domain.teams import events as teams
from domain.webhooks import events as webhooks

EVENTS: dict[str, type[msgspec.Struct]] = {
    "kernel.ValueClaimed@1": kernel.ValueClaimed,
    "kernel.ValueReleased@1": kernel.ValueReleased,
    "identity.UserRegistered@1": identity.UserRegistered,
    "identity.EmailVerificationRequested@1": identity.EmailVerificationRequested,
    "identity.EmailVerified@1": identity.EmailVerified,
    "identity.EmailChanged@1": identity.EmailChanged,
    "identity.UsernameChanged@1": identity.UsernameChanged,
    "identity.PasswordResetRequested@1": identity.PasswordResetRequested,
    "identity.PasswordChanged@1": identity.PasswordChanged,
    "identity.PasswordRehashed@1": identity.PasswordRehashed,
    "identity.NewNetworkSeen@1": identity.NewNetworkSeen,
    "identity.SessionsRevoked@1": identity.SessionsRevoked,
    "identity.AdminLinkIssued@1": identity.AdminLinkIssued,
    "identity.PlatformAdminGranted@1": identity.PlatformAdminGranted,
    "identity.UserSuspended@1": identity.UserSuspended,
    "identity.UserReinstated@1": identity.UserReinstated,
    "identity.SessionStarted@1": identity.SessionStarted,
    "identity.SessionRefreshed@1": identity.SessionRefreshed,
    "identity.SessionEnded@1": identity.SessionEnded,
    "identity.SessionSteppedUp@1": identity.SessionSteppedUp,
    "identity.TotpPrepared@1": identity.TotpPrepared,
    "identity.TotpEnabled@1": identity.TotpEnabled,
    "identity.TotpCodeAccepted@1": identity.TotpCodeAccepted,
    "identity.SecondFactorRefused@1": identity.SecondFactorRefused,
    "identity.RecoveryCodeUsed@1": identity.RecoveryCodeUsed,
    "identity.RecoveryCodesReplaced@1": identity.RecoveryCodesReplaced,
    "identity.TotpDisabled@1": identity.TotpDisabled,
    "identity.PasskeyAdded@1": identity.PasskeyAdded,
    "identity.PasskeyUsed@1": identity.PasskeyUsed,
    "identity.PasskeyCountWentBack@1": identity.PasskeyCountWentBack,
    "identity.PasskeyRemoved@1": identity.PasskeyRemoved,
    "identity.DeviceSignInRequested@1": identity.DeviceSignInRequested,
    "identity.DeviceSignInApproved@1": identity.DeviceSignInApproved,
    "identity.DeviceSignInDenied@1": identity.DeviceSignInDenied,
    "identity.DeviceSignInCompleted@1": identity.DeviceSignInCompleted,
    "identity.UserErased@1": identity.UserErased,
    "identity.UserKeyDestroyed@1": identity.UserKeyDestroyed,
    "identity.ErasureFinished@1": identity.ErasureFinished,
    "api_keys.ApiKeyCreated@1": api_keys.ApiKeyCreated,
    "api_keys.ApiKeyDescribed@1": api_keys.ApiKeyDescribed,
    "api_keys.ApiKeyScopesGranted@1": api_keys.ApiKeyScopesGranted,
    "api_keys.ApiKeyNetworksAllowed@1": api_keys.ApiKeyNetworksAllowed,
    "api_keys.ApiKeyExpirySet@1": api_keys.ApiKeyExpirySet,
    "api_keys.ApiKeyExpiryAnnounced@1": api_keys.ApiKeyExpiryAnnounced,
    "api_keys.ApiKeyLimitSet@1": api_keys.ApiKeyLimitSet,
    "api_keys.ApiKeyRotated@1": api_keys.ApiKeyRotated,
    "api_keys.ApiKeyGraceEnded@1": api_keys.ApiKeyGraceEnded,
    "api_keys.ApiKeyLeaked@1": api_keys.ApiKeyLeaked,
    "api_keys.ApiKeyRevoked@1": api_keys.ApiKeyRevoked,
    "deployments.DeploymentRequested@1": deployments.DeploymentRequested,
    "deployments.DeploymentScaled@1": deployments.DeploymentScaled,
    "deployments.DeploymentUpdated@1": deployments.DeploymentUpdated,
    "deployments.DeploymentRestarted@1": deployments.DeploymentRestarted,
    "deployments.DeploymentRolledBack@1": deployments.DeploymentRolledBack,
    "deployments.DeploymentTransferred@1": deployments.DeploymentTransferred,
    "deployments.RevisionBecameLive@1": deployments.RevisionBecameLive,
    "deployments.RevisionFailed@1": deployments.RevisionFailed,
    "deployments.DeploymentStopRequested@1": deployments.DeploymentStopRequested,
    "deployments.DeploymentStartRequested@1": deployments.DeploymentStartRequested,
    "deployments.DeploymentDeletionRequested@1": deployments.DeploymentDeletionRequested,
    "deployments.ReplicaStarted@1": deployments.ReplicaStarted,
    "deployments.ReplicaBecameReady@1": deployments.ReplicaBecameReady,
    "deployments.ReplicaBecameUnhealthy@1": deployments.ReplicaBecameUnhealthy,
    "deployments.ReplicaDraining@1": deployments.ReplicaDraining,
    "deployments.ReplicaStopped@1": deployments.ReplicaStopped,
    "deployments.DeploymentBecameHealthy@1": deployments.DeploymentBecameHealthy,
    "deployments.DeploymentFailed@1": deployments.DeploymentFailed,
    "deployments.DeploymentStopped@1": deployments.DeploymentStopped,
    "deployments.DeploymentDeleted@1": deployments.DeploymentDeleted,
    "certificates.CertificateIssued@1": certificates.CertificateIssued,
    "certificates.CertificateUploaded@1": certificates.CertificateUploaded,
    "certificates.CertificateOrderFailed@1": certificates.CertificateOrderFailed,
    "certificates.CertificateRemoved@1": certificates.CertificateRemoved,
    "custom_domains.DomainAdded@1": custom_domains.DomainAdded,
    "custom_domains.DomainCheckRequested@1": custom_domains.DomainCheckRequested,
    "custom_domains.DomainVerified@1": custom_domains.DomainVerified,
    "custom_domains.DomainCheckPassed@1": custom_domains.DomainCheckPassed,
    "custom_domains.DomainCheckFailed@1": custom_domains.DomainCheckFailed,
    "custom_domains.DomainFailed@1": custom_domains.DomainFailed,
    "custom_domains.DomainTransferred@1": custom_domains.DomainTransferred,
    "custom_domains.DomainRemoved@1": custom_domains.DomainRemoved,
    "deployments.CapacityAllotted@1": deployments.CapacityAllotted,
    "deployments.CapacityFreed@1": deployments.CapacityFreed,
    "deployments.TeamQuotaChanged@1": deployments.TeamQuotaChanged,
    "mail.MailRequested@1": mail.MailRequested,
    "mail.MailSent@1": mail.MailSent,
    "mail.MailFailed@1": mail.MailFailed,
    "portals.PortalVisibilityChanged@1": portals.PortalVisibilityChanged,
    "portals.DocumentSourceChanged@1": portals.DocumentSourceChanged,
    "portals.DocumentPublished@1": portals.DocumentPublished,
    "portals.DocumentFetchFailed@1": portals.DocumentFetchFailed,
    "portals.DocumentWithdrawn@1": portals.DocumentWithdrawn,
    "teams.TeamCreated@1": teams.TeamCreated,
    "teams.TeamRenamed@1": teams.TeamRenamed,
    "teams.TeamDeleted@1": teams.TeamDeleted,
    "teams.MemberAdded@1": teams.MemberAdded,
    "teams.MemberRoleChanged@1": teams.MemberRoleChanged,
    "teams.MemberRemoved@1": teams.MemberRemoved,
    "teams.MemberLeft@1": teams.MemberLeft,
    "teams.InvitationCreated@1": teams.InvitationCreated,
    "teams.InvitationAccepted@1": teams.InvitationAccepted,
    "teams.InvitationRevoked@1": teams.InvitationRevoked,
    "webhooks.WebhookCreated@1": webhooks.WebhookCreated,
    "webhooks.WebhookUpdated@1": webhooks.WebhookUpdated,
    "webhooks.WebhookSecretRotated@1": webhooks.WebhookSecretRotated,
    "webhooks.WebhookDisabled@1": webhooks.WebhookDisabled,
    "webhooks.WebhookEnabled@1": webhooks.WebhookEnabled,
    "webhooks.WebhookTestRequested@1": webhooks.WebhookTestRequested,
    "webhooks.WebhookRetryRequested@1": webhooks.WebhookRetryRequested,
    "webhooks.WebhookReplayRequested@1": webhooks.WebhookReplayRequested,
    "webhooks.WebhookDeleted@1": webhooks.WebhookDeleted,
    "administration.ParkedEventRetried@1": administration.ParkedEventRetried,
    "administration.ParkedEventDiscarded@1": administration.ParkedEventDiscarded,
    "administration.ViewReplayRequested@1": administration.ViewReplayRequested,
    "administration.AnnouncementMade@1": administration.AnnouncementMade,
    "administration.AnnouncementWithdrawn@1": administration.AnnouncementWithdrawn,
    "administration.MaintenanceScheduled@1": administration.MaintenanceScheduled,
    "administration.MaintenanceEnded@1": administration.MaintenanceEnded,
    "alerts.AlertRaised@1": alerts.AlertRaised,
    "alerts.AlertResolved@1": alerts.AlertResolved,
    "alerts.AlertRuleChanged@1": alerts.AlertRuleChanged,
    "audit.AccessDenied@1": audit.AccessDenied,
    "metering.RequestsServed@1": metering.RequestsServed,
    "metering.ApiKeysUsed@1": metering.ApiKeysUsed,
}

UPCASTERS: dict[str, Callable[[dict[str, object]], dict[str, object]]] = {}
