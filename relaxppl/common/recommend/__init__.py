"""What ``recommend`` of both hosts shares; nothing here knows a host.

``enumeration`` says when the host can sum the sites out, ``trials`` which losses are tried and what
each site has in them, ``screening`` how a limited time is spent on them, ``run`` does all of it and
ranks, and ``recommendation`` is the answer.
"""
