"""What ``calibrate`` of both hosts shares; nothing here knows a host.

``arguments`` puts drawn data where a program takes its own, ``simulate`` reads the values of one
simulation, ``run`` is the loop with its file and its bar, ``checks`` the tests and ``result`` what
is said, drawn and handed to ArviZ.
"""
