"""Alerts: telling people of trouble while it lasts, once, and that it is over.

A *rule* says what counts as trouble; each team has all of them, with a *threshold*, on or off, and
with mail or without. What a rule is broken by is the *subject*: a deployment, a key, a domain, a
view. An *alert* is *raised* when a subject breaks a rule, stays *open* as long as it does, and is
*resolved* when it no longer does; there is at most one open alert for a rule and a subject. The
platform has rules of its own, about itself; its alerts are for those who look after it.

A rule says whether there are letters; each member *chooses* whether a team's come to them. Who has
not chosen gets them as an owner or admin, and as no other.
"""
