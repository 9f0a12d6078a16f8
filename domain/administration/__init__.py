"""Administration: what those who look after the platform do to it.

*Upkeep* is done to views: an event that one could not apply is *parked*, and is *retried* or
*discarded*; a view is *replayed* from the log. An *announcement* is a text that everybody sees
until it ends or is *withdrawn*. A *maintenance window* says from when until when apps do not
answer: all of them, or one deployment; it may be *ended* early.
"""
