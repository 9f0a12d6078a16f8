"""Teams: who works together, and what each of them may do.

Everything belongs to a *team*. A *member* has one *role* in it: an *owner* may do everything, an
*admin* everything but part with the team, a *developer* makes and changes things, a *viewer* looks.
Every person has a *personal team* from the start.
"""
