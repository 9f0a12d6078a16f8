"""Portals: where people read how a deployment is called.

A deployment's *portal* is *off*, for its *team*, or *public*. It shows the OpenAPI *document* that
was *published* last: one that somebody sent, or one that is *fetched* from the deployment itself at
a *path*, anew for each revision that goes live. A document can be *withdrawn*; then the portal has
nothing to show. What a document says is its author's word and nobody else's: it is checked for its
form, never trusted for its content.
"""
