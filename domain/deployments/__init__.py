"""Deployments: keeping an image of somebody's API running, reachable at one URL.

A deployment is *requested* under an *app name*, which belongs to one deployment at a time. It wants
a number of *replicas*; the provisioner starts them, sees them become *ready* or *stop*, and reports
it. With all of them ready the deployment is *running*. It can be *scaled*, *stopped*, *started*
again and *deleted*; when its replicas cannot be kept up it has *failed*, with the reason in words.

What a team may run at once is its *quota*; each deployment takes some *capacity* of it, and one
that is stopped takes none.
"""
