"""Teams: who works together, and what each of them may do.

Everything belongs to a *team*. A *member* has one *role* in it: an *owner* may do everything, an
*admin* everything but part with the team, a *developer* makes and changes things, a *viewer* looks.
Who is not a member yet is *invited* by mail and *accepts*; a team has at least one owner always.

Every person has a *personal team* from the start: it is founded by `UserRegistered`, keeps its one
member, and has no events of its own. Every other team is told by its own stream, and only there.
"""
