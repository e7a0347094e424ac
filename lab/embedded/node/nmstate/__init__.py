"""The kubernetes-nmstate handler of a node: policies in, the node's real network changed, its real state out.

``parse`` and ``merge`` say what shall be, ``readback`` says what is, ``transition`` leads from one to the other,
``verify`` compares; ``policies`` and ``nodestate`` speak to the API. The pure rooms run nothing; ``apply`` runs
``ip`` and ``ovs-vsctl`` and no other room does. It must not touch br-int, OVN's patch ports or pods' links.
"""

from lab.embedded.node.nmstate.handler import NmstateHandler

__all__ = ["NmstateHandler"]
