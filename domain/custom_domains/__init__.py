"""Custom domains: a deployment answering under a name that its team owns.

A *domain* is *added* to a deployment; it is *pending* until DNS says two things: by a TXT record
that the name is the team's, and by a CNAME (or the gateway's addresses) that its traffic is to come
here. Then it is *verified*, *active* and routed. It goes on being checked: a *check* that fails
names each *problem* with a record; an active domain stays routed for a *grace*, and then it has
*failed*, as has a pending one that was tried for long enough. Who *asks* for a check begins anew.
A name is active for one domain at a time: the one whose records are in DNS.
"""
