"""Webhooks: telling a server of a team's own what happens, as it happens.

A *webhook* (or endpoint) is a URL that wants to be told of some *event types*, with `*` for several
at once. What it is told of is a *delivery*: one message, sent until the endpoint takes it, and
*attempted* again over days at growing intervals. Messages are signed with the webhook's *secret*;
when that is *rotated*, both are used for a *grace*. An endpoint that takes nothing for days, or
that says it is gone, is *disabled*. What was missed is *replayed* from the log.
"""
